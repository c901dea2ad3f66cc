"""Run an emulator on a terminal of ours, talk to its guest, measure its CPU time. For tests/boot and benchmarks."""
import os
import pty
import re
import select
import signal
import time
import tty


class ConsoleError(Exception):
    """What was waited for did not come; the text ends with the last lines of the console."""


def cpu_seconds(pid):
    """CPU time of all threads of a process, dead ones included (the clock id is clock_getcpuclockid(3)'s)."""
    return time.clock_gettime((~pid << 3) | 2)


class Console:
    """A child on a pseudo terminal. Also a context manager: leaving it kills the child."""

    def __init__(self, argv, log=None):
        self.argv = argv
        self.start = time.monotonic()
        self.text = ''
        self.status = None          # of waitpid, once ended
        self.rusage = None
        self._seen = 0              # everything before was matched already
        self._log = open(log, 'wb') if log else None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvp(argv[0], argv)
            finally:
                os._exit(127)
        tty.setraw(self._fd)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()
        if self._log:
            self._log.close()
        os.close(self._fd)

    def _read(self, timeout):
        """False at the end of the child's output."""
        if not select.select([self._fd], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:             # EIO: the last user of the terminal is gone
            data = b''
        if self._log:
            self._log.write(data)
            self._log.flush()
        self.text += data.decode('utf-8', 'replace')
        return bool(data)

    def _fail(self, what):
        tail = '\n'.join(self.text.splitlines()[-25:])
        return ConsoleError('%s after %.1f s: %s\n%s' % (what, time.monotonic() - self.start, ' '.join(self.argv), tail))

    def expect(self, pattern, timeout):
        """Wait for the regular expression in what the guest wrote after the last match."""
        deadline = time.monotonic() + timeout
        regex = re.compile(pattern, re.M)
        alive = True
        while True:
            m = regex.search(self.text, self._seen)
            if m:
                self._seen = m.end()
                return m
            if not alive:
                raise self._fail('ended (%s) without "%s"' % (self.wait(5), pattern))
            if time.monotonic() >= deadline:
                raise self._fail('no "%s"' % pattern)
            alive = self._read(min(1.0, max(0.0, deadline - time.monotonic())))

    def send(self, text):
        os.write(self._fd, text.encode())

    def run(self, command, timeout=30):
        """Type a command at the guest's shell; its output, once the shell has said that it is done."""
        # The quotes keep the echo of the typed line from looking like the marks.
        self.send("echo BE''GIN; %s; echo E''ND-$?\n" % command)
        self.expect(r'^BEGIN\r*\n', timeout)
        begin = self._seen
        m = self.expect(r'END-(\d+)[\r\n]', timeout)
        if m.group(1) != '0':
            raise self._fail('"%s" failed with %s' % (command, m.group(1)))
        return self.text[begin:m.start()].replace('\r', '').strip('\n')

    def cpu(self):
        return cpu_seconds(self.pid)

    def elapsed(self):
        return time.monotonic() - self.start

    def _reap(self, flags):
        if self.status is None:
            pid, status, rusage = os.wait4(self.pid, flags)
            if pid:
                self.status, self.rusage = os.waitstatus_to_exitcode(status), rusage
        return self.status

    def wait(self, timeout):
        """Exit status (minus a signal's number), or ConsoleError if it does not end."""
        deadline = time.monotonic() + timeout
        while self._reap(os.WNOHANG) is None:
            if time.monotonic() >= deadline:
                raise self._fail('still running')
            if not self._read(0.05):
                time.sleep(0.01)
        return self.status

    def kill(self):
        """End it now; rusage is complete afterwards."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap(0)


class Guest:
    """The files of scripts/make-guest, and command lines that boot them."""

    def __init__(self, folder):
        self.kernel = os.path.join(folder, 'vmlinuz')
        self.initrd = os.path.join(folder, 'initrd')
        self.disk = os.path.join(folder, 'disk.qcow2')
        self.workload = os.path.join(folder, 'workload')

    def linux(self, append='', memory=512, smp=1):
        return ['-m', str(memory), '-smp', str(smp), '-kernel', self.kernel, '-initrd', self.initrd,
                '-append', ('console=ttyS0 ' + append).strip(), '-no-reboot']


def tandem(path, accel, cpu=None):
    return [path, '-accel', accel, '-nographic', '-nic', 'none'] + (['-cpu', cpu] if cpu else [])


def qemu(accel='tcg', cpu='max'):
    return ['qemu-system-x86_64', '-accel', accel, '-cpu', cpu, '-nodefaults', '-no-user-config', '-display', 'none',
            '-serial', 'stdio']


class ForeignGuest:
    """A guest of another CPU on -machine virt: Image and initrd in @folder, by default those of scripts/make-riscv-guest or make-aarch64-guest."""
    EARLY = {'riscv64': 'earlycon=sbi', 'aarch64': 'earlycon'}
    # For both programs (an Arm CPU whose kernel hides itself from programs); the console of the kernel.
    CPU = {'aarch64': 'cortex-a72'}
    CONSOLE = {'riscv64': 'ttyS0', 'aarch64': 'ttyAMA0'}

    def __init__(self, arch, folder=None):
        cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
        folder = folder or os.path.join(cache, 'tandem', arch)
        self.arch, self.kernel, self.initrd = arch, os.path.join(folder, 'Image'), os.path.join(folder, 'initrd')

    def missing(self):
        """None, or why it cannot be booted."""
        for path in (self.kernel, self.initrd):
            if not os.path.exists(path):
                return 'no %s (scripts/make-%s-guest makes it)' % (path, {'riscv64': 'riscv'}.get(self.arch, self.arch))
        return None

    def argv(self, program, initrd=None, append='', memory=512, smp=1, cpu=None):
        """@program: tandem's path, or 'qemu'."""
        cpu = cpu or self.CPU.get(self.arch)
        base = ['qemu-system-' + self.arch, '-machine', 'virt', '-no-user-config', '-display', 'none'] if program == 'qemu' else \
            [program, '-arch', self.arch, '-monitor', 'none']
        return base + (['-cpu', cpu] if cpu else []) + ['-nodefaults', '-serial', 'stdio', '-m', str(memory), '-smp', str(smp), '-kernel', self.kernel,
                       '-initrd', initrd or self.initrd, '-append', ('console=%s %s' % (self.CONSOLE[self.arch], append)).strip(), '-no-reboot']
