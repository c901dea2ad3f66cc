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
    p.add_argument('--quick', action='store_true', help='short runs, two rounds, what fails is given up early; under 2 minutes')
    p.add_argument('--only', action='append', default=[], metavar='NAME,...', help='workloads and classes')
    p.add_argument('--skip', action='append', default=[], metavar='NAME,...', help='workloads and classes to leave out')
    p.add_argument('--list', action='store_true', help='print the workloads and stop')
    p.add_argument('--rounds', type=int, help='default 5; 2 when quick')
    p.add_argument('--scale', type=float, help='units of each run, as part of what --list says; default: found by a first run, so that none is too short or too long')
    p.add_argument('--json', default=name and name + '.json', help='default %s.json' % (name or 'build/bench/foreign-ARCH'))
    p.add_argument('--html', default=name and name + '.html', help='default %s.html' % (name or 'build/bench/foreign-ARCH'))
    p.add_argument('--check', action='store_true', help='fail if a ratio is worse than the baseline allows')
    p.add_argument('--save-baseline', action='store_true', help='make this result the baseline')
    p.add_argument('--tandem', default=os.path.join(ROOT, 'build/release/tools/tandem'))
    p.add_argument('--boot-timeout', type=float, help='wall seconds for a boot; default 120')
    p.add_argument('--timeout', type=float, help='wall seconds for a workload; default 120, 20 when quick')


def finish_options(p, o):
    for name in ('rounds', 'scale', 'boot_timeout', 'timeout'):
        value = getattr(o, name)
        if value is not None and not 0 < value < float('inf'):
            p.error('--%s has to be more than 0' % name.replace('_', '-'))
    o.calibrated = o.scale is None
    o.rounds = o.rounds or (2 if o.quick else 5)
    o.scale = o.scale or 1
    o.boot_timeout = o.boot_timeout or 120
    o.timeout = o.timeout or (20 if o.quick else 120)
    o.only, o.skip = ([w for part in given for w in part.split(',') if w] for given in (o.only, o.skip))
    if not o.engines:
        p.error('no engine')
    for path in (o.json, o.html):
        folder = os.path.dirname(os.path.abspath(path))
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as e:
            p.error('%s: %s' % (folder, e.strerror))
        if os.path.isdir(path) or not os.access(path if os.path.exists(path) else folder, os.W_OK):
            p.error('cannot write %s' % path)


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


RESTARTS = 3
# CPU seconds of a run: all do fewer units where the slowest competitor would take more; a fast one's are repeated until they take as much.
MOST, LEAST = {False: 2.0, True: 0.1}, {False: 0.2, True: 0.04}
# Part of the units that the first run does, which knows nothing yet; most repetitions.
TRIAL, MOST_TIMES = {False: 6, True: 30}, 200
NOTHING = competitors.Workload('nothing\tbase\t1\t\t')


class Session:
    """Competitors with one number of CPUs. @group.start(name, smp, scratch) starts one or raises Missing."""

    def __init__(self, options, group, smp, scratch, results):
        self.options, self.results, self.smp = options, results, smp
        self._start = lambda name: group.start(name, smp, scratch)
        self.live, self._restarts, self._overhead, self._units, self._plan, self._sums = {}, {}, {}, {}, {}, {}

    def start(self):
        for name in self.options.engines:
            if name in self.results.engine_missing:
                continue
            say('starting %s%s' % (name, '' if self.smp == 1 else ', %d CPUs' % self.smp))
            try:
                self.live[name] = self._start(name)
            except Missing as e:
                self.results.engine_missing[name] = str(e)
                say('%s left out: %s' % (name, e))

    def close(self):
        for c in self.live.values():
            c.close()

    def begin_turn(self):
        """What a command and its answer cost depends on the host's load, and is measured beside what it is taken from."""
        for name, c in list(self.live.items()):
            if not c.outside:
                self._overhead[name] = 0
                continue
            try:
                self._overhead[name] = stats.median([c.measure(NOTHING, 1, 1, 30)['cpu'] for _ in range(3 if self.options.quick else 5)])
            except Missing as e:
                say('%s: no answer: %s' % (name, e))
                self._again(name)

    def _again(self, name):
        """It still works on what it gave no answer to: of no further use. Another one does the rest, a few times."""
        self.live.pop(name).close()
        self._restarts[name] = self._restarts.get(name, 0) + 1
        if self._restarts[name] <= RESTARTS:
            try:
                self.live[name] = self._start(name)
            except Missing as e:
                say('%s does not start again: %s' % (name, e))

    def _run(self, w, name, n, times):
        """(CPU seconds, wall seconds, sum) of one run, or None: then the cell says why."""
        if name not in self.live or 'missing' in self.results.cell(w.name, name):
            return None
        try:
            r = self.live[name].measure(w, n, times, self.options.timeout)
        except Missing as e:
            self.results.miss(w.name, name, str(e))
            if str(e).startswith('no '):
                say('%s: %s: %s; given up' % (name, w.name, e))
                self._again(name)
            return None
        if r['sum'] == '0':
            self.results.miss(w.name, name, 'fails')
            return None
        return max(r['cpu'] - self._overhead.get(name, 0), 1e-7), r['wall'], r['sum']

    def calibrate(self, w):
        """
        Warms everybody up, and finds how many units and repetitions make runs that last long enough for noise to be small. The sums
        of the first runs, which have the same units everywhere, are those that compare_sums compares.
        """
        full, costs = w.n * self.options.scale, {}
        trial = max(1, round(full / TRIAL[self.options.quick]))
        most = MOST[self.options.quick] if self.options.calibrated else float('inf')

        def units(cost):
            # what a run does once is not to be most of it, if that can be had for a little more
            least = full / 4 if cost * full / 4 < 3 * most * trial else 0
            return max(1, round(min(full, max(least, trial * most / cost))))
        for name in list(self.live):
            r = self._run(w, name, trial, 1)
            if r:
                self.results.cell(w.name, name).update(first=round(r[0], 6), sum=r[2])
                costs[name] = r[0]
        if not costs:
            return
        # What a run does once it does for the same number of units everywhere; only a kvm that leaves for each system call (PVM) is not waited for.
        self._units[w.name] = shared = units(max([c for n, c in costs.items() if 'kvm' not in n] or costs.values()))
        for name, cost in costs.items():
            n = min(shared, units(cost)) if 'kvm' in name else shared
            times = self._repeat(w, name, n, cost * n / trial)
            if times:
                self._plan[w.name, name] = (n, times)
                self.results.cell(w.name, name).update(units=n, times=times)

    def _repeat(self, w, name, n, cost):
        """Repetitions that take competitor @name long enough, or None. @cost: what one seems to take, more than it does where the first run translated."""
        least = LEAST[self.options.quick]
        times = max(1, round(least / max(cost, least / 8)))
        for _ in range(3):
            r = self._run(w, name, n, times)
            if not r:
                return None
            if r[0] >= least * 0.7 or times == MOST_TIMES:
                break
            times = min(MOST_TIMES, max(times + 1, round(times * least / max(r[0], least / 16))))
        return times

    def one(self, w, name):
        if (w.name, name) not in self._plan:
            return
        n, times = self._plan[w.name, name]
        r = self._run(w, name, n, times)
        if not r:
            return
        cell, part = self.results.cell(w.name, name), self._units[w.name] / n / times
        if self._sums.setdefault((w.name, n), r[2]) != r[2]:
            say('%s under %s: checksum %s, not %s' % (w.name, name, r[2], self._sums[w.name, n]))
            self.results.miss(w.name, name, 'WRONG RESULT')
            return
        cell['cpu'].append(r[0] * part)
        cell['wall'].append(r[1] * part)


def measure_group(options, group, chosen, results, smp, scratch):
    session = Session(options, group, smp, scratch, results)
    try:
        session.start()
        session.begin_turn()
        say('warming up, finding how long to run')
        for w in chosen:
            session.calibrate(w)
        for turn in range(options.rounds):
            say('round %d of %d' % (turn + 1, options.rounds))
            session.begin_turn()
            for w in chosen:
                for name in list(session.live):
                    session.one(w, name)
    finally:
        session.close()


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
