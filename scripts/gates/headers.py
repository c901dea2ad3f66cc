"""Every header compiles alone, and twice."""
import concurrent.futures
import os
import subprocess

from .tree import Violation

FLAGS = ['-std=gnu11', '-D_GNU_SOURCE', '-D_FILE_OFFSET_BITS=64', '-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter',
         '-Wno-missing-field-initializers', '-Wno-override-init', '-Wmissing-prototypes']
PACKAGES = ('glib-2.0', 'cmocka', 'slirp', 'liburing')


def package_flags():
    flags = []
    for p in PACKAGES:
        r = subprocess.run(['pkg-config', '--cflags', p], capture_output=True, text=True, check=False)
        flags += r.stdout.split()
    return flags


def compile_alone(tree, path, flags):
    text = '#include "%s"\n#include "%s"\n' % (path, path)
    r = subprocess.run(['gcc', '-fsyntax-only', '-x', 'c', *flags, '-I', tree.root, '-I', tree.build, '-'],
                       input=text, capture_output=True, text=True, check=False)
    if r.returncode == 0:
        return None
    first = next((s for s in r.stderr.splitlines() if 'error' in s), r.stderr.strip()[:200])
    return Violation(path, '', 'does not compile alone: %s' % first)


def check(tree):
    flags = FLAGS + package_flags()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda p: compile_alone(tree, p, flags), tree.paths('.h'))
        return [v for v in results if v]
