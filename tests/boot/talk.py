"""A machine whose console is its standard input and output: wait for what it prints, answer."""
import os
import selectors
import signal
import subprocess
import sys
import time

LIMIT_S = 240


def talk(args, steps):
    """Run; steps: (awaited, what is done then: bytes are typed, a signal is sent). What it printed, if all came and it ended with 0; else None."""
    p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    seen, at, end = b'', 0, time.time() + LIMIT_S
    sel = selectors.DefaultSelector()
    sel.register(p.stdout, selectors.EVENT_READ)
    while steps and time.time() < end and sel.select(end - time.time()):
        data = os.read(p.stdout.fileno(), 4096)
        if not data:
            break
        seen += data
        while steps and steps[0][0] in seen[at:]:
            at = seen.index(steps[0][0], at) + len(steps[0][0])
            then = steps.pop(0)[1]
            if isinstance(then, signal.Signals):
                p.send_signal(then)
            else:
                p.stdin.write(then)
                p.stdin.flush()
    try:
        code = p.wait(max(1, end - time.time()))
    except subprocess.TimeoutExpired:
        p.kill()
        code = None
    if steps or code != 0:
        sys.stdout.buffer.write(seen)
        print('\nended with %s, waiting for %s' % (code, steps[0][0] if steps else 'nothing'))
        return None
    return seen
