#!/usr/bin/env python3
"""The terminal: escapes, monitor commands, reset, signals; firmware speaks on the serial line.

    terminal.py PROGRAM [ACCEL]
"""
import os
import signal
import subprocess
import sys
import tempfile
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../scripts'))
import console  # noqa: E402

PROMPT = r'\(tandem\) '
FIRMWARE = '/usr/share/seabios/bios-256k.bin'


def monitor(c):
    """Every command, from the escape key on."""
    c.send('\x01h')
    c.expect(r'C-a x', 5)
    c.send('\x01c')
    c.expect(PROMPT, 5)
    for command, answer in (('info status', 'VM status: running'), ('info version', r'tandem \d'), ('info accel', 'engine: '), ('info block', ''),
                            ('info jit', ''), ('info stats', 'exit '), ('stop', ''), ('info status', 'VM status: paused'), ('cont', ''),
                            ('info status', 'VM status: running'), ('help', 'system_powerdown'), ('nonsense', 'unknown command'),
                            ('info nonsense', 'unknown command'), ('cont now', 'usage: cont'), ('sto\t\x08\x08\x08\x08\x08info status', 'VM status')):
        c.send(command + '\r')
        if answer:
            c.expect(answer, 10)
        c.expect(PROMPT, 10)
    c.send('system_reset\r')
    c.send('\x01c')
    c.expect('SeaBIOS', 30)


def case_escapes(program):
    with console.Console(program) as c:
        c.expect('engine ', 10)
        c.expect('SeaBIOS', 30)
        monitor(c)
        c.send('\x01x')
        assert c.wait(10) == 0


def case_signals(program):
    with console.Console(program) as c:
        c.expect('SeaBIOS', 30)
        os.kill(c.pid, signal.SIGTERM)
        c.expect('power button', 5)
        os.kill(c.pid, signal.SIGTERM)
        assert c.wait(10) == 0


def case_terminal_restored(program):
    """Raw while it runs, afterwards as before."""
    with console.Console(['sh', '-c', 'stty sane; echo ready; "$@"; stty -a', 'sh'] + program) as c:
        c.expect('SeaBIOS', 30)
        flags = termios.tcgetattr(c._fd)[3]
        assert not flags & (termios.ICANON | termios.ECHO | termios.ISIG), flags
        c.send('\x01x')
        c.expect(r' icanon', 10)


def case_boot_order(program):
    """-boot's letters and menu are what firmware goes by."""
    with tempfile.NamedTemporaryFile() as cd, tempfile.NamedTemporaryFile() as disk:
        cd.truncate(1 << 20)
        disk.truncate(1 << 20)
        for order, menu in ('d', False), ('order=cd,menu=on', True), ('menu=off', False):
            with console.Console(program + ['-nodefaults', '-serial', 'stdio', '-cdrom', cd.name, '-boot', order,
                                            '-drive', 'if=ide,format=raw,file=' + disk.name]) as c:
                c.expect('No bootable device', 60)
                assert ('boot menu' in c.text) == menu, c.text
                hd, dvd = c.text.index('Booting from Hard Disk'), c.text.index('Booting from DVD/CD')
                assert (dvd < hd) == (order == 'd'), c.text


# Words that must be in the one line that says what is wrong.
BAD = [
    ('-serial file:', 'takes a path'), ('-serial file:/nonexistent/x', '/nonexistent/x'), ('-serial unix:/nonexistent/x', '/nonexistent/x'),
    ('-serial foo', "'foo'"), ('-monitor foo', "'foo'"), ('-kernel /nonexistent', 'No such file'), ('-kernel /', 'no regular file'),
    ('-kernel /etc/passwd', 'not a kernel'), ('-bios /etc/passwd', 'not a firmware'), ('/nonexistent', 'No such file'),
    ('-hda /', 'directory'), ('-cdrom /nonexistent', 'No such file'), ('-cpu foo', '"foo"'), ('-cpu max,+foo', '"foo"'), ('-M q35', 'q35'), ('-boot x', "'x'"),
    ('-netdev foo', 'foo'), ('-netdev user', 'id='), ('-device virtio-net-pci,netdev=x', "'x'"), ('-device foo', 'foo'), ('-device ide-cd,foo=1', "'foo'"),
    ('-device virtio-rng-device', 'does not fit'), ('-D /nonexistent/x -d stats', '/nonexistent/x'), ('-d foo', "'foo'"), ('-display sdl', 'sdl'),
    ('-M pc,gic-version=3', 'gic-version'), ('-initrd x', '-kernel'), ('-arch foo', 'foo'), ('a b', "'b'"),
]


def case_bad(program):
    """Bad input is one line that names it, and status 1."""
    for args, word in BAD:
        r = subprocess.run(program + ['-S', '-nodefaults'] + args.split(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
        lines = [x for x in r.stderr.splitlines() if not x.startswith('kvm: ') and ': engine ' not in x]
        assert r.returncode == 1 and len(lines) == 1 and word in lines[0], '%s: status %d, %s' % (args, r.returncode, r.stderr)


def case_no_machine(program):
    with console.Console([program[0], '-machine', 'none', '-S', '-nodefaults', '-qmp', 'null', '-monitor', 'stdio']) as c:
        c.expect('not yet', 5)
        c.expect(PROMPT, 5)
        c.send('info status\r')
        c.expect('prelaunch', 5)
        c.send('quit\r')
        assert c.wait(10) == 0


def main():
    if not os.path.exists(FIRMWARE):
        print('SeaBIOS is not installed')
        sys.exit(77)
    if len(sys.argv) > 2 and sys.argv[2].startswith('kvm') and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        print('no usable /dev/kvm')
        sys.exit(77)
    program = [sys.argv[1], '-accel', sys.argv[2] if len(sys.argv) > 2 else 'tcg']
    for name, case in sorted(globals().items()):
        if name.startswith('case_'):
            case(program)
            print('%s: ok' % name[5:])


if __name__ == '__main__':
    main()
