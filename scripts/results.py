#!/usr/bin/env python3
"""Sum up meson's testlog.json: a line for each failure and skip, then "PASSED FAILED SKIPPED"."""
import json
import os
import sys


def reason(test):
    lines = [s for s in (test.get('stdout') or test.get('stderr') or '').splitlines() if s.strip()]
    return lines[-1].strip() if lines else 'no reason given'


def main():
    path, config = sys.argv[1:3]
    count = {'OK': 0, 'FAIL': 0, 'SKIP': 0}
    lines = open(path, encoding='utf-8') if os.path.exists(path) else []
    for line in lines:
        test = json.loads(line)
        result = test['result']
        if result in ('OK', 'EXPECTEDFAIL'):
            count['OK'] += 1
        elif result == 'SKIP':
            count['SKIP'] += 1
            print('skip  %s (%s): %s' % (test['name'], config, reason(test)))
        else:
            count['FAIL'] += 1
            print('FAIL  %s (%s): %s' % (test['name'], config, result))
    print(count['OK'], count['FAIL'], count['SKIP'])


if __name__ == '__main__':
    main()
