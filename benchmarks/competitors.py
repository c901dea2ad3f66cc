"""What benchmarks/run compares: this host, and machines whose guest has the suite on its console; CPU seconds of each."""
import hashlib
import os
import re
import select
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, 'scripts')]
import console  # noqa: E402

# name: (label, program, accelerator)
ENGINES = {
    'native': ('native', None, None),
    'kvm': ('tandem kvm', 'tandem', 'kvm'),
    'tcg': ('tandem tcg', 'tandem', 'tcg'),
    'qemu': ('QEMU tcg', 'qemu', 'tcg'),
    'qemu-kvm': ('QEMU kvm', 'qemu', 'kvm'),
    'user': ('tandem-user', None, None),
    'qemu-user': ('QEMU user', None, None),
}
# Flags of single files; the rest is -O2 for any CPU of its kind. Not the product's own flags: a baseline would depend on them.
COMMON = ['-O2', '-fno-math-errno', '-ffp-contract=off', '-Wall', '-Wextra', '-I', ROOT]
FLAGS = {
    'x86_64': {'x87.c': ['-mfpmath=387'], 'fused.c': ['-ffp-contract=fast', '-mfma']},
    'riscv64': {'fused.c': ['-ffp-contract=fast']},
    'aarch64': {'fused.c': ['-ffp-contract=fast'], 'crypto_arm.c': ['-march=armv8-a+crypto']},
}
# Files that are for one CPU only.
X86_FILES = {'x87.c', 'simd.c', 'crypto.c', 'movs.c', 'jit.c', 'exits.c'}
LEFT_OUT = {'x86_64': {'crypto_arm.c'}, 'riscv64': X86_FILES | {'crypto_arm.c'}, 'aarch64': X86_FILES}
# Debian's cross compilers
COMPILER = {'x86_64': 'gcc', 'riscv64': 'riscv64-linux-gnu-gcc', 'aarch64': 'aarch64-linux-gnu-gcc'}
DISK_BYTES = 64 << 20
# Kernel parameters: no root disk, the suite on the console, device memory for the mmio workload.
APPEND = 'quiet tandem.root=none tandem.run=/bin/suite-serve iomem=relaxed'


class Missing(Exception):
    """A competitor or one of its figures cannot be had; the text says why."""


def build_suite(folder, arch='x86_64'):
    """The static binary for CPU @arch, made anew when its sources or flags changed."""
    source, cc = os.path.join(ROOT, 'benchmarks/suite'), COMPILER[arch]
    if not shutil.which(cc):
        raise Missing('%s is not installed' % cc)
    names = sorted(n for n in os.listdir(source) if n.endswith('.c') and n not in LEFT_OUT[arch])
    key = hashlib.sha256(repr((cc, names, COMMON[:-2], FLAGS[arch])).encode())
    for n in sorted(os.listdir(source)):
        with open(os.path.join(source, n), 'rb') as f:
            key.update(f.read())
    if arch != 'x86_64':
        folder = os.path.join(folder, arch)
    os.makedirs(folder, exist_ok=True)
    suite, stamp = os.path.join(folder, 'suite'), os.path.join(folder, 'suite.stamp')
    if os.path.exists(suite) and os.path.exists(stamp) and open(stamp, encoding='utf-8').read() == key.hexdigest():
        return suite
    objects = []
    for n in names:
        objects.append(os.path.join(folder, n[:-2] + '.o'))
        subprocess.run([cc, *COMMON, *FLAGS[arch].get(n, []), '-c', os.path.join(source, n), '-o', objects[-1]], check=True)
    subprocess.run([cc, '-static', '-o', suite, *objects, '-lm'], check=True)
    with open(stamp, 'w', encoding='utf-8') as f:
        f.write(key.hexdigest())
    return suite


def build_initrd(guest, suite, folder):
    """The guest's initrd with an archive behind it that holds the suite (the kernel unpacks both)."""
    root, out = os.path.join(folder, 'root'), os.path.join(folder, 'initrd')
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(os.path.join(root, 'bin'))
    shutil.copy2(suite, os.path.join(root, 'bin/suite'))
    with open(os.path.join(root, 'bin/suite-serve'), 'w', encoding='utf-8') as f:
        f.write('#!/bin/sh\nexec /bin/suite serve </dev/console\n')
    os.chmod(f.name, 0o755)
    packed = subprocess.run(['cpio', '--quiet', '-o', '-H', 'newc', '-R', '0:0'], cwd=root, check=True, stdout=subprocess.PIPE,
                            input=b'bin\nbin/suite\nbin/suite-serve\n').stdout
    with open(out + '.new', 'wb') as f, open(guest.initrd, 'rb') as first:
        shutil.copyfileobj(first, f)
        f.write(b'\0' * (-f.tell() % 4))
        f.write(packed)
    os.rename(out + '.new', out)
    return out


class Workload:
    def __init__(self, line):
        self.name, self.cls, n, self.needs, self.what = line.split('\t')
        self.n = int(n)


def workloads(suite):
    text = subprocess.run([suite, 'list'], check=True, capture_output=True, text=True).stdout
    return [Workload(line) for line in text.splitlines()]


_RESULT = r'BENCH(-ERROR)? (\S+) (\S+) (\S+) (\S+) (\S+)\r*\n'


def suite_names(arch):
    """Names of the workloads that the suite has for CPU @arch: those of the files that are not left out (the binary itself may not run here)."""
    source, names = os.path.join(ROOT, 'benchmarks/suite'), set()
    for n in sorted(os.listdir(source)):
        if n.endswith('.c') and n not in LEFT_OUT[arch]:
            with open(os.path.join(source, n), encoding='utf-8') as f:
                names.update(re.findall(r'^    \{ "([\w-]+)", "', f.read(), re.M))
    return names


class Native:
    """The suite on this host, or under a program (@prefix) that runs it; bound to one CPU unless it needs two."""
    outside = False            # CPU time is the workload's own

    def __init__(self, suite, cpus, prefix=()):
        allowed = sorted(os.sched_getaffinity(0))
        self.cpus, self.ok = cpus, len(allowed) >= cpus
        chosen = allowed[-cpus:]
        self.child = subprocess.Popen([*prefix, suite, 'serve'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      preexec_fn=lambda: os.sched_setaffinity(0, chosen))
        try:
            self._line(10)
        except Missing:
            self.close()
            raise

    def _line(self, timeout):
        if not select.select([self.child.stdout], [], [], timeout)[0]:
            raise Missing('no answer within %.0f s' % timeout)
        line = self.child.stdout.readline().decode()
        if not line:
            raise Missing('no process any more')
        return line

    def measure(self, w, n, times, timeout):
        if w.needs in ('guest', 'disk'):
            raise Missing('needs a machine')
        if w.needs == 'smp' and not self.ok:
            raise Missing('needs %d CPUs' % self.cpus)
        self.child.stdin.write(('%s %d %d\n' % (w.name, n, times)).encode())
        self.child.stdin.flush()
        words = self._line(timeout).split()
        if not words or words[0] != 'BENCH':
            raise Missing('failed')
        return {'cpu': float(words[4]), 'wall': float(words[3]), 'sum': words[5]}

    def close(self):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()


class Machine:
    """A booted guest whose console runs "suite serve". CPU seconds are those of the whole process: all threads, translation included."""
    outside = True

    def __init__(self, name, argv, timeout):
        self.name = name
        self.console = console.Console(argv)
        try:
            self.console.expect(r'BENCH-READY', timeout)
        except console.ConsoleError as e:
            self.close()
            raise Missing(str(e).splitlines()[0].split(':')[0]) from None
        self.boot_cpu = self.console.cpu()

    def measure(self, w, n, times, timeout):
        cpu, wall = self.console.cpu(), time.monotonic()
        self.console.send('%s %d %d\n' % (w.name, n, times))
        m = None
        while not m:
            try:
                m = self.console.expect(_RESULT, timeout)
            except console.ConsoleError as e:
                # a host that is busy with something else is no guest that hangs
                if self.console.status is not None or self.console.cpu() - cpu > timeout / 2 or time.monotonic() - wall > 4 * timeout:
                    ended = self.console.status
                    raise Missing('no result within %.0f s' % (time.monotonic() - wall) if ended is None else 'no result: ended (%d)' % ended) from None
        cpu, wall = self.console.cpu() - cpu, time.monotonic() - wall
        if m.group(1):
            raise Missing('failed')
        self.console.text, self.console._seen = '', 0
        return {'cpu': cpu, 'wall': wall, 'guest_wall': float(m.group(4)), 'sum': m.group(6)}

    def close(self):
        self.console.__exit__()


def command(name, options, guest, extra):
    """Command line of engine @name; options: run's. Missing if the host has it not."""
    _, program, accel = ENGINES[name]
    if accel == 'kvm' and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Missing('/dev/kvm is not usable')
    if program == 'tandem':
        if not os.access(options.tandem, os.X_OK):
            raise Missing('no %s (tools/quickstart --prepare-only)' % options.tandem)
        base = console.tandem(options.tandem, accel, options.cpu)
    else:
        if not shutil.which('qemu-system-x86_64'):
            raise Missing('qemu-system-x86_64 is not installed')
        base = console.qemu(accel, 'host' if accel == 'kvm' else 'max')
    return base + guest.linux(**extra) + (options.option if program == 'tandem' else [])


def machine(name, options, guest, smp, scratch, timeout):
    """A machine with a disk of zeros of its own in folder @scratch, none without."""
    argv = command(name, options, guest, {'append': APPEND, 'smp': smp})
    if scratch:
        disk = os.path.join(scratch, name + '.raw')
        with open(disk, 'wb') as f:
            f.write(bytes(DISK_BYTES))
        argv += ['-drive', 'file=%s,format=raw,if=virtio' % disk]
    return Machine(name, argv, timeout)


def version(argv):
    try:
        text = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    except OSError:
        return 'not installed'
    return text.splitlines()[0] if text else '?'


def host_facts(options):
    with open('/proc/cpuinfo', encoding='utf-8') as f:
        cpu = re.search(r'model name\s*: (.*)', f.read())
    facts = {
        'CPU': cpu.group(1) if cpu else '?', 'CPUs': os.cpu_count(), 'memory': '%.1f GiB' % (os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30),
        'kernel': os.uname().release, 'load at start': '%.2f' % os.getloadavg()[0], 'date': time.strftime('%Y-%m-%d %H:%M'),
        'compiler of the suite': version(['gcc', '--version']), 'QEMU': version(['qemu-system-x86_64', '--version']),
        'tandem': version([getattr(options, 'user', options.tandem), '--version']),
        'tandem source': version(['git', '-C', ROOT, 'describe', '--always', '--dirty']),
    }
    return facts
