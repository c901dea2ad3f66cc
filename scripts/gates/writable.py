"""No writable variable outlives a Machine: no writable data in any object of the product."""
import json
import os
import re
import subprocess

from .tree import PRODUCT, Violation

# "name |value|class|type|size|line|section" of nm -f sysv
_LINE = re.compile(r'^(\S+)\s*\|[^|]*\|\s*([a-zA-Z?])\s*\|[^|]*\|[^|]*\|[^|]*\|(\S*)')
# Constant after relocation: tables of pointers.
_CONST = ('.data.rel.ro',)


def objects(tree):
    """(source path from the root, object path) of every product object of the build."""
    with open(os.path.join(tree.build, 'compile_commands.json'), encoding='utf-8') as f:
        commands = json.load(f)
    seen = set()
    for c in commands:
        src = os.path.relpath(os.path.normpath(os.path.join(c['directory'], c['file'])), tree.root)
        obj = os.path.normpath(os.path.join(c['directory'], c['output']))
        # What a tool or library links, not what a test compiles on its own.
        home = os.path.relpath(obj, tree.build).split('/')[0]
        if home in PRODUCT and obj not in seen and os.path.exists(obj):
            seen.add(obj)
            yield src, obj


def writable(obj):
    """Names of the writable symbols of @obj."""
    out = subprocess.run(['nm', '-f', 'sysv', obj], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        m = _LINE.match(line)
        if m and m.group(2) in 'bBdDCsSgGvV' and not m.group(3).startswith(_CONST):
            yield m.group(1), m.group(3)


def check(tree):
    found, n = [], 0
    for src, obj in objects(tree):
        n += 1
        for name, section in writable(obj):
            # A static inside a function is NAME.NUMBER, and the number moves.
            found.append(Violation(src, re.sub(r'\.\d+$', '', name), 'writable variable in %s' % (section or 'common')))
    if not n:
        found.append(Violation(tree.build, '', 'no compiled objects of the product here'))
    return found
