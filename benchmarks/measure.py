"""Measuring in rounds: what benchmarks/run and benchmarks/foreign share."""
import json
import os
import sys

import competitors
import report
import stats
from competitors import Missing, ROOT


def say(text):
    print('%s: %s' % (os.path.basename(sys.argv[0]), text), file=sys.stderr)


def common_options(p, name=None):
    """Options of both programs. @name: files of the result, without their ends; None: the caller sets them."""
    p.add_argument('--quick', action='store_true', help='a third of the work, two rounds, what fails is given up early; under 2 minutes')
    p.add_argument('--only', action='append', default=[], metavar='NAME,...', help='workloads and classes')
    p.add_argument('--skip', action='append', default=[], metavar='NAME,...', help='workloads and classes to leave out')
    p.add_argument('--list', action='store_true', help='print the workloads and stop')
    p.add_argument('--rounds', type=int, help='default 5; 2 when quick')
    p.add_argument('--scale', type=float, help='work of each run, default 1; 1/3 when quick')
    p.add_argument('--json', default=name and name + '.json', help='default %s.json' % (name or 'build/bench/foreign-ARCH'))
    p.add_argument('--html', default=name and name + '.html', help='default %s.html' % (name or 'build/bench/foreign-ARCH'))
    p.add_argument('--check', action='store_true', help='fail if a ratio is worse than the baseline allows')
    p.add_argument('--save-baseline', action='store_true', help='make this result the baseline')
    p.add_argument('--tandem', default=os.path.join(ROOT, 'build/release/tools/tandem'))
    p.add_argument('--boot-timeout', type=float, help='wall seconds for a boot; default 120')
    p.add_argument('--timeout', type=float, help='wall seconds for a workload; default 120, 20 when quick')


def finish_options(o):
    o.rounds = o.rounds or (2 if o.quick else 5)
    o.scale = o.scale or (1 / 3 if o.quick else 1)
    o.boot_timeout = o.boot_timeout or 120
    o.timeout = o.timeout or (20 if o.quick else 120)
    o.only, o.skip = ([w for part in given for w in part.split(',') if w] for given in (o.only, o.skip))


def choose(p, options, everything, extras):
    """(workloads, those of @extras) that --only and --skip leave."""
    known = {w.name for w in everything} | {w.cls for w in everything} | set(extras)
    for name in options.only + options.skip:
        if name not in known:
            p.error('no workload or class "%s" (--list)' % name)

    def wanted(name, cls):
        return (not options.only or name in options.only or cls in options.only) and name not in options.skip and cls not in options.skip
    extra = [c for c in extras if wanted(c, c) and not (options.quick and c not in options.only)]
    return [w for w in everything if w.cls != 'base' and wanted(w.name, w.cls)], extra


class Results:
    """figures[workload][engine] = {'cpu': [...], 'first':..., 'sum':...} or {'missing': why}."""

    def __init__(self):
        self.figures, self.engine_missing = {}, {}

    def cell(self, w, engine):
        return self.figures.setdefault(w, {}).setdefault(engine, {'cpu': [], 'wall': []})

    def miss(self, w, engine, why):
        self.figures.setdefault(w, {})[engine] = {'missing': why}


def start(options, group, smp, scratch, results):
    """The competitors of one group, started one after the other; @group.start(name, smp, scratch) makes one or raises Missing."""
    live = {}
    for name in options.engines:
        if name in results.engine_missing:
            continue
        say('starting %s%s' % (name, '' if smp == 1 else ', %d CPUs' % smp))
        try:
            live[name] = group.start(name, smp, scratch)
        except Missing as e:
            results.engine_missing[name] = str(e)
            say('%s left out: %s' % (name, e))
    return live


def measure_group(options, group, chosen, results, smp, scratch):
    nothing = competitors.Workload('nothing\tbase\t1\t\t')
    live, restarts = start(options, group, smp, scratch, results), {}
    try:
        overhead = {name: stats.median([c.measure(nothing, 1, 30)['cpu'] for _ in range(5)]) if c.outside else 0 for name, c in live.items()}
        for turn in range(options.rounds + 1):
            say('warming up' if turn == 0 else 'round %d of %d' % (turn, options.rounds))
            for w in chosen:
                for name, c in list(live.items()):
                    one(options, w, name, c, overhead[name], turn, results, live, restarts, lambda n: group.start(n, smp, scratch))
    finally:
        for c in live.values():
            c.close()


RESTARTS = 3


def again(name, live, restarts, restart):
    """It still works on what it gave no answer to: of no further use. Another one does the rest, a few times."""
    live.pop(name).close()
    restarts[name] = restarts.get(name, 0) + 1
    if restarts[name] <= RESTARTS:
        try:
            live[name] = restart(name)
        except Missing as e:
            say('%s does not start again: %s' % (name, e))


def one(options, w, name, c, overhead, turn, results, live, restarts, restart):
    cell = results.cell(w.name, name)
    if 'missing' in cell:
        return
    try:
        r = c.measure(w, max(1, round(w.n * options.scale)), options.timeout)
    except Missing as e:
        results.miss(w.name, name, str(e))
        if str(e).startswith('no '):
            say('%s: %s: %s; given up' % (name, w.name, e))
            again(name, live, restarts, restart)
        return
    cpu = max(r['cpu'] - overhead, 1e-7)
    cell.setdefault('sum', r['sum'])
    if r['sum'] != cell['sum'] or r['sum'] == '0':
        results.miss(w.name, name, 'fails' if r['sum'] == '0' else 'WRONG RESULT')
    elif turn == 0:
        cell['first'] = round(cpu, 6)
    else:
        cell['cpu'].append(cpu)
        cell['wall'].append(r['wall'])


def compare_sums(figures):
    """A result that differs from the native one is an error, not a figure."""
    for name, row in figures.items():
        sums = {e: c['sum'] for e, c in row.items() if 'sum' in c}
        reference = sums.get('native') or next(iter(sums.values()), None)
        for e, s in sums.items():
            if s != reference:
                row[e] = {'missing': 'WRONG RESULT'}
                say('%s under %s: checksum %s, not %s' % (name, e, s, reference))


def measure(options, group, chosen, results, work):
    """All of @chosen; @work: a folder for disks."""
    plain = [w for w in chosen if w.needs != 'smp']
    double = [w for w in chosen if w.needs == 'smp']
    if plain:
        measure_group(options, group, plain, results, 1, work if any(w.needs == 'disk' for w in plain) else None)
    if double:
        measure_group(options, group, double, results, 2, None)


def finish(options, result, baseline):
    """Print, write, compare; the exit status."""
    failed = report.show(result, baseline)
    for path, write in ((options.json, lambda f: json.dump(result, f, indent=1)), (options.html, lambda f: f.write(report.html(result)))):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            write(f)
        say('wrote %s' % path)
    if options.save_baseline:
        report.save_baseline(result, baseline)
    return 1 if failed and options.check else 0
