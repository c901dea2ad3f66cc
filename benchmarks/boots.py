"""Boots, memory and two vCPUs of benchmarks/run: what benchmarks/boot, footprint and vcpus measure, for any engine."""
import importlib.machinery
import importlib.util
import os

import competitors
from competitors import Missing

HERE = os.path.dirname(os.path.abspath(__file__))


def script(name):
    """A program of this folder as a module."""
    loader = importlib.machinery.SourceFileLoader('bench_' + name, os.path.join(HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def rows(options, results, say, argv_of):
    """Rows "boot" and "boot-linux"; @argv_of(engine): its command line, or Missing."""
    boot = script('boot')
    names = [n for n in options.engines if n != 'native' and n not in results.engine_missing]
    figures = {'boot': {}, 'boot-linux': {}}
    for turn in range(min(options.rounds, 5)):
        for name in list(names):
            say('boot %d of %d: %s' % (turn + 1, min(options.rounds, 5), name))
            try:
                r = boot.boot(argv_of(name), options.boot_timeout)
            except (Missing, competitors.console.ConsoleError) as e:
                why = str(e).splitlines()[0].split(':')[0]
                figures['boot'][name] = figures['boot-linux'][name] = {'missing': why}
                names.remove(name)
                continue
            for row, key in (('boot', 'start_to_init'), ('boot-linux', 'linux_to_init')):
                figures[row].setdefault(name, {'cpu': [], 'wall': []})['cpu'].append(r[key])
    return figures


def boot_rows(options, guest, results, say):
    return rows(options, results, say,
                lambda name: competitors.command(name, options, guest, {'append': 'earlyprintk=ttyS0,115200 tandem.root=none'}))


def footprint_row(options, guest, results, say):
    footprint = script('footprint')
    row = {}
    for name in options.engines:
        if name == 'native' or name in results.engine_missing:
            continue
        say('memory: %s' % name)
        try:
            argv = competitors.command(name, options, guest, {'append': 'tandem.root=none'})
            row[name] = round(footprint.boot(argv, 512, options.boot_timeout)['beyond'] / 1024, 1)
        except (Missing, competitors.console.ConsoleError) as e:
            row[name] = str(e).splitlines()[0].split(':')[0]
    return row


def measure(options, guest, extra, results, say):
    """{'boot': {row: {engine: cell}}, 'footprint_mib': {engine: MiB or why not}, 'vcpus': {engine: shares or why not}}"""
    more = {}
    if 'boot' in extra:
        more['boot'] = boot_rows(options, guest, results, say)
    if 'footprint' in extra:
        more['footprint_mib'] = footprint_row(options, guest, results, say)
    if 'vcpus' in extra:
        more['vcpus'] = script('vcpus').row(options, guest, results, say)
    return more
