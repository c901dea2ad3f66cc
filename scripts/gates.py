#!/usr/bin/env python3
"""Check the house rules of CONTRIBUTING.md that a machine can check; each gate counts as one test.

    scripts/gates.py [--build DIR] [--root DIR] [GATE...]

Last line: "PASSED FAILED SKIPPED". What is excepted stands in scripts/gate-exceptions; an exception that
no longer matches anything is itself a violation.
"""
import argparse
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from gates import banned, headers, layers, sizes, writable  # noqa: E402
from gates.tree import Tree  # noqa: E402

# name: (function(tree) -> list of Violation, needs a compiled build)
GATES = {
    'layers': (layers.check, False),
    'globals': (writable.check, True),
    'headers': (headers.check, True),
    'sizes': (sizes.check, False),
    'banned': (banned.check, False),
}


def run_gate(tree, name):
    """Print the verdict of one gate; True if it holds."""
    found = GATES[name][0](tree)
    left, excepted = tree.exceptions.filter(name, found)
    for v in left:
        print('%s: %s%s' % (v.path, '%s: ' % v.name if v.name else '', v.message))
    for line in tree.exceptions.unused(name):
        print('scripts/gate-exceptions: nothing matches "%s" any more, remove it' % line)
        left.append(None)
    print('%-5s gate %s (%d violations, %d excepted)' % ('FAIL' if left else 'ok', name, len(left), excepted))
    return not left


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--root', default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    p.add_argument('--build', default='build/release')
    p.add_argument('gates', nargs='*')
    args = p.parse_args()
    tree = Tree(args.root, args.build)
    passed = failed = 0
    for name in args.gates or GATES:
        if name not in GATES:
            sys.exit('gates: no gate "%s"; there are: %s' % (name, ' '.join(GATES)))
        if GATES[name][1] and not os.path.exists(os.path.join(tree.build, 'compile_commands.json')):
            print('FAIL  gate %s: %s is not a compiled build (scripts/build release)' % (name, tree.build))
            failed += 1
        elif run_gate(tree, name):
            passed += 1
        else:
            failed += 1
    print('%d exceptions in scripts/gate-exceptions' % tree.exceptions.count())
    print(passed, failed, 0)
    sys.exit(failed != 0)


if __name__ == '__main__':
    main()
