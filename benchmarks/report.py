"""The results of benchmarks/run as a table, as a comparison with the stored baseline, and as a page."""
import html as escape
import json
import math
import os
import statistics

import stats
from competitors import ENGINES

# What the project wants: the most that a class may cost against native (geometric mean of its members; no member above MEMBER
# times that), the most of single workloads against native, and the most of single workloads against QEMU's translator.
_FOREIGN = {'classes': {'integer': 2.5, 'float': 3, 'vector': 5, 'crypto': 5, 'string': 3}, 'single': {'syscall': 1.5, 'pingpong': 1.2, 'fork': 4, 'forkexec': 3.5,
            'calls': 3.5, 'virtual': 3.5, 'bytecode': 3.5, 'lua': 3.5}, 'qemu': {}}
_FOREIGN_SYSTEM = {'classes': {'integer': 4, 'float': 5, 'vector': 7, 'crypto': 7, 'string': 4}, 'single': {'calls': 5, 'virtual': 5, 'bytecode': 5, 'lua': 5},
                   'qemu': {'syscall': 0.1, 'pingpong': 0.3, 'fork': 0.45, 'forkexec': 0.65}}
GOALS = {
    'system x86_64 on kvm or tcg': {
        'classes': {'integer': 2.5, 'float': 2.5, 'x87': 6, 'packed': 4, 'vector': 4, 'string': 2, 'crypto': 2, 'self-modifying': 15}, 'single': {},
        'qemu': {'syscall': 0.75, 'pingpong': 0.4, 'fork': 0.35, 'forkexec': 0.5, 'mmap': 0.5, 'boot': 0.6, 'boot-linux': 0.6}},
    'user x86_64': {'classes': {'integer': 1.6, 'float': 2}, 'single': {'syscall': 1.5, 'pingpong': 1.2, 'fork': 4, 'forkexec': 3.5}, 'qemu': {}},
    'user aarch64': _FOREIGN, 'system aarch64': _FOREIGN_SYSTEM, 'system x86_64': _FOREIGN_SYSTEM,
    # no vector unit: nothing to reach there; its kernels need no page tables of their own (KPTI), so that a system call costs QEMU little too
    'user riscv64': dict(_FOREIGN, classes={c: v for c, v in _FOREIGN['classes'].items() if c != 'vector'}),
    'system riscv64': dict(_FOREIGN_SYSTEM, classes={c: v for c, v in _FOREIGN_SYSTEM['classes'].items() if c != 'vector'},
                           qemu=dict(_FOREIGN_SYSTEM['qemu'], syscall=0.5)),
}
# (ours, theirs) of a comparison with QEMU
PAIRS = (('tcg', 'qemu'), ('kvm', 'qemu-kvm'), ('user', 'qemu-user'))
MEMBER = 1.6
TOLERANCE = 0.15
# What says whether a baseline is of this host.
BASELINE_FACTS = ('CPU', 'kernel', 'compiler of the suite', 'QEMU')


def half_range(values):
    """Half of what lies between the extremes, as part of the median: the noise that is shown."""
    med = statistics.median(values)
    return round((max(values) - min(values)) / 2 / med, 3) if med else 0


def cell_summary(cell):
    if 'missing' in cell or not cell['cpu']:
        return {'missing': cell.get('missing', 'not measured')}
    out = {'seconds': round(statistics.median(cell['cpu']), 8), 'spread': half_range(cell['cpu']), 'runs': [round(v, 8) for v in cell['cpu']]}
    out.update((k, cell[k]) for k in ('first', 'units', 'times') if k in cell)
    return out


def paired(cells, ours, theirs):
    """Ratios round by round, which ran next to each other and so under the same load."""
    if ours not in cells or theirs not in cells or 'missing' in cells[ours] or 'missing' in cells[theirs]:
        return []
    return [a / b for a, b in zip(cells[ours]['runs'], cells[theirs]['runs']) if b]


def ratio(cells, ours, theirs):
    pairs = paired(cells, ours, theirs)
    return round(statistics.median(pairs), 3) if pairs else None


def summarise(everything, results, more, facts, options, goals):
    """The JSON result: rows in the suite's order, one a workload."""
    info = {w.name: w for w in everything}
    rows = []
    boots = [(name, 'boot', 'start of the process to init' if name == 'boot' else '"Linux version" to init', cells)
             for name, cells in more.get('boot', {}).items()]
    for name, cls, what, raw in [(n, info[n].cls, info[n].what, c) for n, c in results.figures.items()] + boots:
        cells = {e: cell_summary(raw[e]) for e in options.engines if e in raw}
        for e, c in cells.items():
            r = ratio(cells, e, 'native')
            if r is not None:
                c['ratio'] = r
        row = {'name': name, 'class': cls, 'what': what, 'engines': cells}
        for ours, theirs in PAIRS:
            r = ratio(cells, ours, theirs)
            if r is not None:
                row[ours + '_of_qemu'] = r
        row['misses'] = verdict(row, goals)
        rows.append(row)
    classes = list(dict.fromkeys(r['class'] for r in rows))
    rows.sort(key=lambda r: classes.index(r['class']))
    return {'benchmark': 'suite', 'host': facts, 'engines': options.engines, 'missing': results.engine_missing, 'quick': options.quick,
            'rounds': options.rounds, 'rows': rows, 'classes': class_means(rows, options.engines), 'goals': goals,
            'footprint_mib': more.get('footprint_mib', {}), 'vcpus': more.get('vcpus', {})}


def vcpus_text(cell):
    if isinstance(cell, str):
        return cell
    return 'in guest code %s %% of the time that the host gave, %s %% of it all' % tuple(' and '.join(str(v) for v in cell[k]) for k in ('in_guest', 'host'))


def class_means(rows, engines):
    means = {}
    for cls in dict.fromkeys(r['class'] for r in rows):
        for e in engines:
            # a time below the clock's step makes a ratio of 0, which has no place in a geometric mean
            values = [r['engines'][e]['ratio'] for r in rows if r['class'] == cls and r['engines'].get(e, {}).get('ratio')]
            if values and e != 'native':
                means.setdefault(cls, {})[e] = round(math.exp(sum(map(math.log, values)) / len(values)), 2)
    return means


def translated(row):
    """(times native, times QEMU) of our translator in this row; None each if not measured."""
    for e in ('tcg', 'user'):
        if e in row['engines']:
            return row['engines'][e].get('ratio'), row.get(e + '_of_qemu')
    return None, None


def verdict(row, goals):
    """'' or what the row misses of @goals."""
    own, other = translated(row)
    if row['name'] in goals['qemu']:
        reach = goals['qemu'][row['name']]
        return '' if other is None or other <= reach else '> %.2f of QEMU' % reach
    if other is not None and other > 1:
        return 'slower than QEMU'
    reach, factor = goals['single'].get(row['name']), 1
    if reach is None:
        reach, factor = goals['classes'].get(row['class']), MEMBER
    return '> %.1f' % (factor * reach) if reach and own is not None and own > factor * reach else ''


def _time(seconds):
    return '%.2f s' % seconds if seconds >= 1 else '%.2f ms' % (1e3 * seconds) if seconds >= 1e-3 else '%.0f us' % (1e6 * seconds)


def _cell(c):
    if c is None:
        return '-'
    if 'missing' in c:
        return c['missing'] if len(c['missing']) < 14 else 'missing'
    text = '%s ±%.0f%%' % (_time(c['seconds']), 100 * c['spread'])
    return '%s %6.2fx' % (text, c['ratio']) if 'ratio' in c and c['ratio'] != 1 else text


def show(result, baseline):
    """Print everything; True if something is a regression or wrong."""
    shown = [e for e in result['engines'] if e not in result['missing']]
    rows = [['CPU time, half range, times native'] + shown + ['of QEMU', 'misses']]
    cls = None
    for r in result['rows']:
        if r['class'] != cls:
            cls = r['class']
            means = result['classes'].get(cls, {})
            reach, own = result['goals']['classes'].get(cls), means.get('tcg', means.get('user'))
            rows.append(['[%s]' % cls] + ['%.2fx' % means[e] if e in means else '' for e in shown] + ['', '> %.1f' % reach if reach and own and own > reach else ''])
        of_qemu = translated(r)[1]
        rows.append(['  ' + r['name']] + [_cell(r['engines'].get(e)) for e in shown] + ['-' if of_qemu is None else '%.2f' % of_qemu, r['misses']])
    stats.table(rows)
    for e, why in result['missing'].items():
        print('%s: missing: %s' % (ENGINES[e][0], why))
    for e, mib in result['footprint_mib'].items():
        print('%s: %s MiB beyond guest RAM' % (ENGINES[e][0], mib))
    for e, cell in result['vcpus'].items():
        print('%s, two vCPUs: %s' % (ENGINES[e][0], vcpus_text(cell)))
    print('%d rounds; load at the start %s; %s' % (result['rounds'], result['host']['load at start'], result['host']['CPU']))
    wrong = [r['name'] for r in result['rows'] if any(c.get('missing') == 'WRONG RESULT' for c in r['engines'].values())]
    for name in wrong:
        print('WRONG RESULT: %s' % name)
    return regressions(result, baseline) or bool(wrong)


def regressions(result, path):
    """
    Prints what has become slower than the baseline at @path says; True if anything. A regression of ours shows in the same measure against
    every reference of the run; where only one ratio has moved, the reference has (another host, another QEMU), and that is no regression.
    """
    base, worse = load_baseline(path), []
    if not base:
        return False
    for r in result['rows']:
        was = base['rows'].get(r['name'], {})
        moved = [(k, now[0], was[k][0], now[0] / was[k][0] / (1 + allowance(now[1], was[k][1]))) for k, now in _tracked(r).items() if k in was]
        if moved and min(m[3] for m in moved) > 1:
            worse.append('REGRESSION: %s: %s' % (r['name'], ', '.join('%s %.2f, was %.2f' % m[:3] for m in moved)))
    print('\n'.join(worse) if worse else 'nothing is slower than %s allows' % os.path.relpath(path))
    here = {k: str(result['host'][k]) for k in BASELINE_FACTS}
    if here != base['host']:
        print('that baseline is of another host: %s' % ', '.join('%s %s' % (k, v) for k, v in base['host'].items() if v != here.get(k)))
    return bool(worse)


def load_baseline(path):
    """What save_baseline wrote, or None."""
    try:
        with open(path, encoding='utf-8') as f:
            base = json.load(f)
        if all(len(v) == 2 for row in base['rows'].values() for v in row.values()) and set(base['host']) == set(BASELINE_FACTS):
            return base
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    print('%s is no baseline of this version: not compared' % os.path.relpath(path))
    return None


def allowance(now, was):
    """How much a ratio may grow: more than a tolerance, and more than twice the noise of either measurement."""
    return max(TOLERANCE, 2 * math.hypot(now, was))


def _tracked(row):
    """{ratio's name: (median, noise)} of the ratios that a baseline holds: they depend on the host far less than seconds do."""
    cells = row['engines']
    ours = 'tcg' if 'tcg' in cells else 'user'
    found = {}
    for name, theirs in (('native', ['native']), ('QEMU', [q for o, q in PAIRS if o == ours])):
        pairs = [p for t in theirs for p in paired(cells, ours, t)]
        if pairs and statistics.median(pairs) > 0:
            found['%s/%s' % (ours, name)] = (round(statistics.median(pairs), 4), half_range(pairs))
    return found


def save_baseline(result, path):
    """Rows that were not measured this time keep what they have, if they are of this host; a partial result of another one is not mixed in."""
    rows, host, old = {}, {k: str(result['host'][k]) for k in BASELINE_FACTS}, load_baseline(path)
    if old and old['host'] == host:
        rows = old['rows']
    rows.update({r['name']: _tracked(r) for r in result['rows'] if _tracked(r)})
    text = ',\n'.join('  %s: %s' % (json.dumps(n), json.dumps(v)) for n, v in rows.items())
    with open(path, 'w', encoding='utf-8') as f:
        f.write('{\n "host": %s,\n "rows": {\n%s\n }\n}\n' % (json.dumps(host), text))


# ---- the page ----
COLOURS = {'native': '#7a8594', 'tcg': '#1f6feb', 'user': '#1f6feb', 'qemu': '#e08e1b', 'qemu-user': '#e08e1b', 'kvm': '#2da160', 'qemu-kvm': '#a66bd4'}
STYLE = '''
:root{color-scheme:light dark;--line:#8884;--dim:#8a8f98}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1080px;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin:1.6rem 0 .3rem;border-bottom:1px solid var(--line)}
table{border-collapse:collapse;font-size:13px;width:100%}td,th{padding:.2rem .5rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
td:first-child,th:first-child{text-align:left}.scroll{overflow-x:auto}.dim{color:var(--dim)}.bad{color:#d1242f}
svg{width:100%;min-width:640px;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:currentColor}
.key span{display:inline-block;width:.9em;height:.9em;margin:0 .35em 0 1em;vertical-align:-1px;border-radius:2px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:13px}dt{color:var(--dim)}dd{margin:0}'''


def _value(row, e, reference):
    """(ratio, lowest, highest) against @reference in this row, or None."""
    c, ref = row['engines'].get(e), row['engines'].get(reference)
    if not c or not ref or 'missing' in c or 'missing' in ref:
        return None
    base = ref['seconds'] or 1e-9
    return c['seconds'] / base, min(c['runs']) / base, max(c['runs']) / base


def _chart(rows, engines, reference):
    """Bars on a logarithmic scale, each workload's group under its name; whiskers from the fastest to the slowest run."""
    left, width, bar, gap = 130, 1000, 13, 12
    found = [v for r in rows for e in engines for v in [_value(r, e, reference)] if v]
    if not found:
        return '<p class="dim">nothing to show</p>'
    low = max(min(0.7, min(v[1] for v in found) * 0.8), 0.01)
    high = max(2, max(v[2] for v in found)) * 1.2

    def x(v):
        return left + (width - left - 60) * (math.log(max(v, low)) - math.log(low)) / (math.log(high) - math.log(low))
    out, y = [], 18
    for r in rows:
        bars = [(e, _value(r, e, reference)) for e in engines if e != reference and r['engines'].get(e)]
        height = max(1, len(bars)) * (bar + 2)
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (left - 8, y + height / 2 + 4, escape.escape(r['name'])))
        for k, (e, v) in enumerate(bars):
            top = y + k * (bar + 2)
            if not v:
                out.append('<text x="%.1f" y="%d" class="dim" opacity=".6">%s: %s</text>' % (
                    x(1) + 6, top + 11, escape.escape(ENGINES[e][0]), escape.escape(r['engines'][e].get('missing', 'no reference'))))
                continue
            a, b = sorted((x(1), x(v[0])))
            out.append('<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" rx="2"><title>%s: %.2f times</title></rect>' % (
                a, top, max(b - a, 1), bar, COLOURS[e], escape.escape(ENGINES[e][0]), v[0]))
            out.append('<path d="M%.1f %.1fH%.1f" stroke="currentColor" stroke-width="1.5" opacity=".7"/>' % (x(v[1]), top + bar / 2, x(v[2])))
            out.append('<text x="%.1f" y="%d">%s</text>' % (max(x(v[2]), x(1)) + 5, top + 11, '%.0f' % v[0] if v[0] >= 100 else '%.3g' % v[0]))
        y += height + gap
    grid = []
    for d in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for m in (1, 2, 5):
            v = m * 10 ** d
            if low <= v <= high:
                grid.append('<path d="M%.1f 14V%d" stroke="currentColor" opacity="%s"/><text x="%.1f" y="10" text-anchor="middle" class="dim">%g</text>' % (
                    x(v), y - gap + 4, '.5' if v == 1 else '.15', x(v), v))
    return '<div class="scroll"><svg viewBox="0 0 %d %d" role="img">%s%s</svg></div>' % (width, y, ''.join(grid), ''.join(out))


def _table(rows, engines):
    head = ''.join('<th>%s</th>' % escape.escape(ENGINES[e][0]) for e in engines)
    body = []
    for r in rows:
        cells = ''.join('<td>%s</td>' % escape.escape(_cell(r['engines'].get(e))) for e in engines)
        of_qemu = translated(r)[1]
        body.append('<tr><td title="%s">%s</td>%s<td>%s</td><td class="bad">%s</td></tr>' % (
            escape.escape(r['what'], True), escape.escape(r['name']), cells, '-' if of_qemu is None else '%.2f' % of_qemu,
            escape.escape(r['misses'])))
    return '<div class="scroll"><table><tr><th>workload</th>%s<th>of QEMU</th><th></th></tr>%s</table></div>' % (head, ''.join(body))


def html(result):
    engines = [e for e in result['engines'] if e not in result['missing']]
    out = ['<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
           '<title>Tandem benchmarks</title><style>%s</style>' % STYLE, '<h1>Tandem benchmarks</h1>',
           '<p class="dim">CPU time of the whole machine, or of the process in user mode, against CPU time of the same program natively; logarithmic scale, shorter is better. '
           'Medians of %d interleaved rounds; the thin line goes from the fastest to the slowest.</p>' % result['rounds'],
           '<p class="key">%s</p>' % ''.join('<span style="background:%s"></span>%s' % (COLOURS[e], escape.escape(ENGINES[e][0])) for e in engines if e != 'native')]
    for e, why in result['missing'].items():
        out.append('<p class="dim">%s: missing: %s</p>' % (escape.escape(ENGINES[e][0]), escape.escape(why)))
    for cls in dict.fromkeys(r['class'] for r in result['rows']):
        rows = [r for r in result['rows'] if r['class'] == cls]
        native = any('ratio' in c for r in rows for c in r['engines'].values())
        reference = 'native' if native else 'qemu' if 'qemu' in engines else engines[0]
        means = ', '.join('%s %.2f' % (ENGINES[e][0], v) for e, v in result['classes'].get(cls, {}).items())
        out.append('<h2>%s <span class="dim">%s</span></h2>' % (escape.escape(cls), escape.escape(
            'times native%s' % ('; geometric mean: ' + means if means else '') if native else 'times %s' % ENGINES[reference][0])))
        out += [_chart(rows, engines, reference), _table(rows, engines)]
    if result['footprint_mib']:
        out.append('<h2>Memory beyond guest RAM</h2><dl>%s</dl>' % ''.join(
            '<dt>%s</dt><dd>%s MiB</dd>' % (escape.escape(ENGINES[e][0]), escape.escape(str(v))) for e, v in result['footprint_mib'].items()))
    if result['vcpus']:
        out.append('<h2>Two vCPUs at independent work</h2><dl>%s</dl>' % ''.join(
            '<dt>%s</dt><dd>%s</dd>' % (escape.escape(ENGINES[e][0]), escape.escape(vcpus_text(v))) for e, v in result['vcpus'].items()))
    out.append('<h2>Host and versions</h2><dl>%s</dl></html>' % ''.join(
        '<dt>%s</dt><dd>%s</dd>' % (escape.escape(str(k)), escape.escape(str(v))) for k, v in result['host'].items()))
    return '\n'.join(out)
