"""Who may include whom: the table of ARCHITECTURE.md."""
import os
import re

from .tree import FOLDERS, Violation

MAY = {
    'util': {'util'},
    'cpu': {'util', 'cpu'},
    'tcg': {'util', 'cpu', 'tcg'},
    'block': {'util', 'block'},
    'vmm': {'util', 'cpu', 'vmm'},
    'hw': {'util', 'cpu', 'vmm', 'hw', 'block'},
    'accel': {'util', 'cpu', 'vmm', 'tcg', 'accel'},
    'ui': {'util', 'vmm', 'control', 'ui'},
    'control': set(FOLDERS) - {'tools', 'tests', 'benchmarks'},
    'tools': set(FOLDERS) - {'tests', 'benchmarks'},
    'tests': set(FOLDERS),
    'benchmarks': set(FOLDERS) - {'tests'},
}

# A library of the host that only one folder may know: include prefix -> folders
SYSTEM = {
    'linux/kvm.h': ('accel/kvm', 'tests', 'benchmarks'),
    'asm/kvm': ('accel/kvm', 'tests', 'benchmarks'),
    'slirp/': ('ui', 'tests'),
    'SDL': ('ui',),
    'cmocka.h': ('tests',),
}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)


def part(path, folder):
    """The component under @folder that @path belongs to: part('tcg/guest/x86/dec.c', 'tcg/guest') = 'x86'."""
    rest = path[len(folder) + 1:] if path.startswith(folder + '/') else ''
    return rest.split('/')[0] if '/' in rest else ''


def pair_of(path):
    """('x86', 'aarch64') for tcg/pair/x86_aarch64/..., else None. Host names may have underscores themselves."""
    name = part(path, 'tcg/pair')
    if not name:
        return None
    for host in ('x86_64', 'aarch64', 'interp'):
        if name.endswith('_' + host):
            return name[:-len(host) - 1], host
    return tuple(name.split('_', 1)) if '_' in name else (name, '')


def tcg_rule(src, inc):
    guest, host = part(inc, 'tcg/guest'), part(inc, 'tcg/host')
    src_guest, src_host, pair = part(src, 'tcg/guest'), part(src, 'tcg/host'), pair_of(src)
    if src.startswith('tcg/guest/'):
        if inc.startswith(('tcg/host/', 'tcg/pair/')):
            return 'a guest front end knows no host back end'
        if guest and guest != src_guest:
            return 'a guest front end knows no other guest'
    if src.startswith('tcg/host/'):
        if inc.startswith(('tcg/guest/', 'tcg/pair/')):
            return 'a host back end knows no guest'
        if host and host != src_host:
            return 'a host back end knows no other host'
    if pair and ((guest and guest != pair[0]) or (host and host != pair[1])):
        return 'a pair sees its own guest and host only'
    return None


def accel_rule(src, inc):
    if src.startswith('accel/kvm/') and inc.startswith(('tcg/', 'accel/tcg/')):
        return 'accel/kvm knows no translator'
    if src.startswith('accel/tcg/') and inc.startswith('accel/kvm/'):
        return 'accel/tcg knows no kvm'
    return None


def private_rule(src, inc):
    if not inc.endswith('-internal.h'):
        return None
    home = os.path.dirname(inc)
    if os.path.dirname(src) == home or src.startswith(home + '/'):
        return None
    return 'is private to %s/' % home


def rule(src, inc):
    top, target = src.split('/')[0], inc.split('/')[0]
    if target not in MAY[top]:
        return '%s/ may not include %s/' % (top, target)
    if top == 'hw' and target == 'block' and inc != 'block/block.h':
        return 'hw/ may include block/block.h only'
    return private_rule(src, inc) or tcg_rule(src, inc) or accel_rule(src, inc)


def generated(tree, inc):
    """A header that a meson.build up the folder chain names as an output."""
    folder, base = os.path.split(inc)
    while folder:
        meson = os.path.join(folder, 'meson.build')
        if tree.exists(meson) and re.search(r"['/]%s'" % re.escape(base), tree.text(meson)):
            return True
        folder = os.path.dirname(folder)
    return os.path.isfile(os.path.join(tree.build, inc))


def check_quoted(tree, src, inc):
    if '/' not in inc or inc.startswith('.') or inc.split('/')[0] not in FOLDERS:
        return 'include by path from the root'
    if not tree.exists(inc) and not generated(tree, inc):
        return 'no such file from the root'
    return rule(src, inc)


def check_system(src, inc):
    for prefix, folders in SYSTEM.items():
        if inc.startswith(prefix) and not any(src.startswith(f + '/') for f in folders):
            return 'only %s may include it' % ', '.join(folders)
    return None


def check(tree):
    found = []
    for src in tree.paths('.c', '.h', '.def', '.inc'):
        for kind, inc in _INCLUDE.findall(tree.text(src)):
            why = check_quoted(tree, src, inc) if kind == '"' else check_system(src, inc)
            if why:
                found.append(Violation(src, inc, why))
    return found
