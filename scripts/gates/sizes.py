"""Files of about 800 lines (5 % of grace), functions of at most 60; tables do not count."""
import json
import os
import re
import subprocess

from .tree import FOLDERS, Violation

FILE_LINES, FUNCTION_LINES = 840, 60
_INIT = re.compile(r'^(\s*)[^#\n;]*=\s*\{\s*(?:/\*.*)?$')


def table_lines(lines):
    """The set of line numbers (from 1) inside initialisers: from "... = {" to the line that closes it."""
    inside, close = set(), None
    for n, line in enumerate(lines, 1):
        if close is None:
            m = _INIT.match(line)
            if m:
                close = re.compile(r'^%s\}' % re.escape(m.group(1)))
                inside.add(n)
        else:
            inside.add(n)
            if close.match(line):
                close = None
    return inside


def functions(tree, paths):
    """(path, name, first line, last line) of each C function."""
    if not paths:
        return
    r = subprocess.run(['ctags', '--quiet', '--options=NONE', '--languages=C', '--langmap=C:.c.h.inc', '--kinds-C=f', '--fields=+ne',
                        '--output-format=json', '-f', '-', '-L', '-'],
                       input='\n'.join(paths), capture_output=True, text=True, cwd=tree.root, check=True)
    for line in r.stdout.splitlines():
        tag = json.loads(line)
        if 'end' in tag:
            yield tag['path'], tag['name'], tag['line'], tag['end']


def check_files(tree):
    for path in tree.paths('.c', '.h', '.inc', '.py', '.sh', folders=FOLDERS + ('scripts',)):
        lines = tree.text(path).splitlines()
        n = len(lines) - len(table_lines(lines))
        if n > FILE_LINES:
            yield Violation(path, '', '%d lines without tables, more than %d' % (n, FILE_LINES))


def check(tree):
    found = list(check_files(tree))
    for path, name, first, last in functions(tree, tree.paths('.c', '.h', '.inc')):
        tables = table_lines(tree.text(path).splitlines())
        n = sum(1 for i in range(first, last + 1) if i not in tables)
        if n > FUNCTION_LINES:
            found.append(Violation(os.path.normpath(path), name, 'function of %d lines without tables, more than %d' % (n, FUNCTION_LINES)))
    return found
