"""The sources a gate looks at, and the exceptions."""
import collections
import os
import re

# path: from the root; name: the function, symbol, include or call (what an exception may name); message: what is wrong.
Violation = collections.namedtuple('Violation', 'path name message')

LIBRARIES = ('util', 'cpu', 'tcg', 'block', 'vmm', 'hw', 'accel', 'control', 'ui')
PRODUCT = LIBRARIES + ('tools',)
FOLDERS = PRODUCT + ('tests', 'benchmarks')


class Exceptions:
    """Lines "GATE PATH[:NAME] reason" of scripts/gate-exceptions."""

    def __init__(self, path):
        self.entries = []
        lines = open(path, encoding='utf-8').read().splitlines() if os.path.exists(path) else []
        for line in lines:
            if not line.strip() or line.startswith('#'):
                continue
            words = line.split(None, 2)
            if len(words) < 3:
                raise SystemExit('%s: "%s" has no reason (GATE PATH[:NAME] reason)' % (path, line))
            where, _, name = words[1].partition(':')
            self.entries.append({'gate': words[0], 'path': where, 'name': name, 'line': line, 'used': False})

    def count(self):
        return len(self.entries)

    def _covers(self, gate, v):
        for e in self.entries:
            if e['gate'] == gate and e['path'] == v.path and (not e['name'] or e['name'] == v.name):
                e['used'] = True
                return True
        return False

    def filter(self, gate, violations):
        """(those without an exception, number of those with one)"""
        left = [v for v in violations if not self._covers(gate, v)]
        return left, len(violations) - len(left)

    def unused(self, gate):
        return [e['line'] for e in self.entries if e['gate'] == gate and not e['used']]


class Tree:
    def __init__(self, root, build):
        self.root = os.path.abspath(root)
        self.build = os.path.join(self.root, build)
        self.exceptions = Exceptions(os.path.join(self.root, 'scripts/gate-exceptions'))
        self._text = {}
        self.files = []
        for top in FOLDERS + ('scripts',):
            for folder, dirs, names in os.walk(os.path.join(self.root, top)):
                dirs[:] = sorted(d for d in dirs if not d.startswith('.') and d != '__pycache__')
                rel = os.path.relpath(folder, self.root)
                self.files += [os.path.join(rel, n) for n in sorted(names)]

    def paths(self, *suffixes, folders=FOLDERS):
        return [f for f in self.files if f.endswith(suffixes) and f.split('/')[0] in folders]

    def exists(self, path):
        return os.path.isfile(os.path.join(self.root, path))

    def text(self, path):
        if path not in self._text:
            with open(os.path.join(self.root, path), encoding='utf-8', errors='replace') as f:
                self._text[path] = f.read()
        return self._text[path]

    def code(self, path):
        """The text with comments and the insides of strings and characters blanked, lines kept."""
        return blank(self.text(path))


_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    def hide(m):
        s = m.group(0)
        if s[0] in '"\'':
            return s[0] + s[0]
        return '\n' * s.count('\n') or ' '
    return _TOKEN.sub(hide, text)
