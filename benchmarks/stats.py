"""Medians, spreads and ratios of interleaved runs."""
import json
import statistics


def summary(values):
    """Median, and the spread as (largest - smallest) / median."""
    med = statistics.median(values)
    return {'median': round(med, 4), 'spread': round((max(values) - min(values)) / med, 4) if med else 0.0,
            'runs': [round(v, 4) for v in values]}


median = statistics.median


def ratio(ours, theirs):
    """Median of the ratios of paired runs, which ran next to each other and so under the same load."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs)), 3)


def write(path, result):
    if path:
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(result, f, indent=1)
            f.write('\n')


def table(rows):
    """Print rows of equal length, the first column left, the others right aligned."""
    widths = [max(len(str(r[i])) for r in rows) for i in range(len(rows[0]))]
    for r in rows:
        print('  '.join(str(v).ljust(w) if i == 0 else str(v).rjust(w) for i, (v, w) in enumerate(zip(r, widths))).rstrip())
