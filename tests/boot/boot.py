#!/usr/bin/env python3
"""Boot Debian's cloud kernel to a shell, and what can be seen from there.

    boot.py CASE --emulator tandem --accel tcg [--smp N] [--guest DIR] [--program PATH]

CASEs are the functions case_* below. --emulator qemu runs the same case on Debian's QEMU, to check the test itself.
"""
import argparse
import hashlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))
import console  # noqa: E402

PROMPT = r'tandem# '


def skip(reason):
    print(reason)
    sys.exit(77)


class Setup:
    def __init__(self, args, work):
        self.args = args
        self.work = work
        self.guest = console.Guest(args.guest)
        self.scale = args.timeout_scale

    def base(self):
        a = self.args
        return console.qemu(a.accel) + ['-machine', 'graphics=off'] if a.emulator == 'qemu' else console.tandem(a.program, a.accel)

    def argv(self, *extra, append=''):
        return self.base() + self.guest.linux(append, smp=self.args.smp) + list(extra)

    def boot(self, *extra, append=''):
        """A guest at its shell, and the match of its TANDEM-READY line."""
        log = os.path.join(self.work, 'console.log')
        c = console.Console(self.argv(*extra, append=append), log)
        try:
            c.expect(r'Linux version', 60 * self.scale)
            c.expect(r'TANDEM-INIT', 120 * self.scale)
            ready = c.expect(r'TANDEM-READY \S+ root=(\S+) cpus=(\d+) kernel=(\S+)', 60 * self.scale)
            c.expect(PROMPT, 30 * self.scale)
        except BaseException:
            c.__exit__()
            raise
        return c, ready

    def poweroff(self, c):
        c.send('poweroff\n')
        status = c.wait(60 * self.scale)
        assert status == 0, 'emulator ended with %s after poweroff' % status

    def copy_disk(self):
        path = os.path.join(self.work, 'disk.qcow2')
        shutil.copyfile(self.guest.disk, path)
        return path


def drive(path, interface='virtio'):
    return '-drive', 'file=%s,format=qcow2,if=%s' % (path, interface)


def case_shell(s):
    """Kernel and initrd to a shell; commands work on every CPU; poweroff ends the emulator with status 0."""
    c, ready = s.boot()
    with c:
        assert ready.group(1) == 'initrd', ready.group(0)
        assert int(ready.group(2)) == s.args.smp, ready.group(0)
        assert c.run('echo $((6*7))') == '42'
        assert c.run('nproc') == str(s.args.smp)
        assert c.run('uname -m') == 'x86_64'
        for cpu in range(s.args.smp):
            assert c.run('taskset %x sh -c "echo on $((1+1))"' % (1 << cpu)) == 'on 2'
        # Work on all CPUs at once whose result is known.
        want = hashlib.sha256(b'\0' * (4 << 20)).hexdigest()
        jobs = ' '.join('head -c 4194304 /dev/zero | sha256sum >/tmp/$i.sum &' for _ in range(1))
        out = c.run('for i in $(seq %d); do %s done; wait; cat /tmp/*.sum' % (2 * s.args.smp, jobs), 120 * s.scale)
        assert out.count(want) == 2 * s.args.smp, out
        s.poweroff(c)


def check_image(path):
    r = subprocess.run(['qemu-img', 'check', path], capture_output=True, text=True, check=False)
    assert r.returncode == 0, 'qemu-img check: %s%s' % (r.stdout, r.stderr)


def to_raw(path):
    """The disk as a raw file, by another tool than ours, and its file system clean."""
    raw = path + '.raw'
    subprocess.run(['qemu-img', 'convert', '-O', 'raw', path, raw], check=True)
    r = subprocess.run(['/sbin/e2fsck', '-fn', raw], capture_output=True, text=True, check=False)
    assert r.returncode == 0, 'e2fsck: %s%s' % (r.stdout, r.stderr)
    return raw


def read_file(raw, name):
    return subprocess.run(['/sbin/debugfs', '-R', 'cat %s' % name, raw], capture_output=True, check=True).stdout


def monitor(s, c, command, answer):
    """A command to the monitor and what must come back; then the terminal is the guest's again."""
    c.send('\x01c')
    c.expect(r'\((tandem|qemu)\) ', 30 * s.scale)
    c.send(command + '\n')
    c.expect(answer, 120 * s.scale)
    c.send('\x01c')


def case_disk(s):
    """Files written in the guest to its qcow2 root are there for other tools, the image and file system clean."""
    path = s.copy_disk()
    c, ready = s.boot(*drive(path, s.args.interface))
    with c:
        assert ready.group(1).startswith('/dev/'), ready.group(0)
        c.run('dd if=/dev/urandom of=/root/random bs=64k count=256 2>/dev/null', 120 * s.scale)
        sums = c.run('sha256sum /root/random').split()[0]
        c.run('for i in $(seq 300); do echo file $i >/root/f$i; done; rm /root/f7; mkdir -p /root/d/e; mv /root/f8 /root/d/e', 60 * s.scale)
        c.run('sync', 60 * s.scale)
        s.poweroff(c)
    check_image(path)
    raw = to_raw(path)
    assert hashlib.sha256(read_file(raw, '/root/random')).hexdigest() == sums, '/root/random differs on the host'
    assert read_file(raw, '/root/f300') == b'file 300\n'
    assert read_file(raw, '/root/d/e/f8') == b'file 8\n'
    assert read_file(raw, '/root/f7') == b''
    # What one boot wrote the next one reads.
    c, _ = s.boot(*drive(path, s.args.interface))
    with c:
        assert c.run('sha256sum /root/random', 60 * s.scale).split()[0] == sums
        s.poweroff(c)
    check_image(path)


def case_snapshot(s):
    """With -snapshot the image stays as it is, whatever the guest writes and syncs; 'commit' in the monitor writes it back."""
    path = s.copy_disk()

    def digest():
        with open(path, 'rb') as f:
            return hashlib.sha256(f.read()).hexdigest()

    def run(commit, seen):
        c, _ = s.boot('-snapshot', *drive(path, s.args.interface))
        with c:
            assert c.run('cd /root; echo $(ls | grep lost) $(cat kept 2>/dev/null)') == seen
            if commit:
                c.run('echo kept >/root/kept; sync; mount -o remount,ro /', 60 * s.scale)
                monitor(s, c, 'commit nothing', 'not found')
                monitor(s, c, 'commit all', 'committed')
                c.send('\n')
                c.expect(PROMPT, 30 * s.scale)
                c.run('mount -o remount,rw /')
            c.run('echo lost >/root/lost; sync', 60 * s.scale)
            s.poweroff(c)

    before = digest()
    run(False, '')
    assert digest() == before, 'the image changed without commit'
    run(True, '')
    after = digest()
    assert after != before, 'commit changed nothing'
    run(False, 'kept')
    assert digest() == after, 'the image changed after the commit'
    check_image(path)
    raw = to_raw(path)
    assert read_file(raw, '/root/kept') == b'kept\n'


def case_ioerror(s):
    """werror=stop pauses the guest at a failed write, 'cont' tries again and nothing is lost; report is an error in the guest."""
    limit, half = 16 << 20, 32 << 10
    for policy in 'stop', 'report', 'ignore':
        path = os.path.join(s.work, 'data.raw')
        with open(path, 'wb') as f:
            f.truncate(64 << 20)
        c, _ = s.boot('-drive', 'file=%s,format=raw,if=%s,cache=none,werror=%s' % (path, s.args.interface, policy), append='tandem.root=none')
        dev = 'vda' if s.args.interface == 'virtio' else 'sda'
        write = 'yes tandem | head -c 65536 >/tmp/x; dd if=/tmp/x of=/dev/%s bs=4k seek=8192 oflag=direct conv=fsync 2>/dev/null' % dev
        with c:
            if s.args.interface == 'virtio':
                assert c.run('ls /sys/block/vda/mq | wc -l') == str(s.args.smp), 'not one queue a CPU'
            resource.prlimit(c.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            if policy == 'stop':
                c.send("%s && echo WRIT''TEN\n" % write)
                c.expect('I/O error', 60 * s.scale)
                monitor(s, c, 'info status', 'io-error')
                resource.prlimit(c.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                c.send('\x01c')
                c.expect(r'\((tandem|qemu)\) ', 30 * s.scale)
                c.send('cont\n\x01c')
                c.expect('WRITTEN', 60 * s.scale)
            else:
                out = c.run('%s; echo status $?' % write, 120 * s.scale)
                assert (out.splitlines()[-1] == 'status 0') == (policy == 'ignore'), out
            s.poweroff(c)
        with open(path, 'rb') as f:
            f.seek(half << 10)
            data = f.read(65536)
        assert (data == b'tandem\n' * 9362 + b'ta') == (policy == 'stop'), policy


def case_net(s):
    """The guest gets an address from the user network and reaches its gateway."""
    c, _ = s.boot('-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0')
    with c:
        c.run('n=0; until ip addr show eth0 | grep -q "inet 10.0.2.15/"; do n=$((n+1)); [ $n -lt 30 ] || break; sleep 1; done; '
              'ip addr show eth0 | grep -q "inet 10.0.2.15/"', 60 * s.scale)
        assert '1 packets received' in c.run('ping -c 1 -W 10 10.0.2.2', 30 * s.scale)
        s.poweroff(c)


def connect(path):
    """The host's side of a character device."""
    c = socket.socket(socket.AF_UNIX)
    c.settimeout(120)
    c.connect(path)
    return c


def case_devices(s):
    """Linux's drivers use each device that -device offers: what goes in comes out, with a second one of each kind that may be there twice."""
    data = {name: hashlib.sha256(name.encode()).digest() * 32768 for name in ('blk', 'hd', 'cd')}
    args = []
    for name, device in ('blk', 'virtio-blk-pci'), ('hd', 'ide-hd,bus=ide.1,unit=1'), ('cd', 'ide-cd,bus=ide.0,unit=1'):
        path = os.path.join(s.work, name)
        with open(path, 'wb') as f:
            f.write(data[name])
        args += ['-drive', 'if=none,format=raw,id=%s,file=%s%s' % (name, path, ',readonly=on' if name == 'cd' else ''), '-device', device + ',drive=' + name]
    port = os.path.join(s.work, 'port')
    args += ['-chardev', 'socket,id=port,path=%s,server=on,wait=off' % port, '-device', 'virtio-console-pci,chardev=port' if s.args.emulator == 'tandem' else
             'virtio-serial-pci', '-device', 'virtio-rng-pci', '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0,mac=52:54:00:aa:bb:cc']
    if s.args.emulator == 'qemu':
        args += ['-device', 'virtconsole,chardev=port']
    c, _ = s.boot(*args, append='tandem.root=none')
    with c:
        for name, node in ('blk', 'vda'), ('hd', 'sda'), ('cd', 'sr0'):
            want = hashlib.sha256(data[name]).hexdigest()
            assert want in c.run('dd if=/dev/%s bs=64k 2>/dev/null | sha256sum' % node, 60 * s.scale), name
            if name != 'cd':
                c.run('yes %s | dd of=/dev/%s bs=4k count=3 seek=7 iflag=fullblock conv=fsync 2>/dev/null' % (name, node), 60 * s.scale)
        assert c.run('dd if=/dev/sr0 of=/dev/sr0 count=1 2>/dev/null || echo refused') == 'refused'
        assert c.run('cat /sys/class/misc/hw_random/rng_current').startswith('virtio_rng')
        a, b = (c.run('head -c 32 /dev/hwrng | sha256sum', 60 * s.scale) for _ in range(2))
        assert len(a) > 60 and a != b, 'random numbers %s and %s' % (a, b)
        with connect(port) as host:
            c.run('exec 3<>/dev/hvc0; stty raw -echo <&3; echo to the host >&3')
            said = b''
            while b'\n' not in said:
                said += host.recv(100)
            assert said == b'to the host\n', said
            host.sendall(b'to the guest\n')
            assert c.run('head -n 1 <&3', 60 * s.scale) == 'to the guest'
        assert '52:54:00:aa:bb:cc' in c.run('cat /sys/class/net/eth0/address')
        c.run('n=0; until ip addr show eth0 | grep -q "inet 10.0.2.15/"; do n=$((n+1)); [ $n -lt 30 ] || break; sleep 1; done', 60 * s.scale)
        assert '1 packets received' in c.run('ping -c 1 -W 10 10.0.2.2', 30 * s.scale)
        s.poweroff(c)
    for name in 'blk', 'hd':
        with open(os.path.join(s.work, name), 'rb') as f:
            got = f.read()
        want = bytearray(data[name])
        want[7 * 4096:10 * 4096] = ((name + '\n').encode() * 12288)[:12288]
        assert got == bytes(want), 'what the guest wrote to %s is not there' % name


def case_workload(s):
    """The workload gives the same checksums in the guest as natively."""
    def sums(text):
        lines = [line.split() for line in text.splitlines() if line.startswith('WORKLOAD ')]
        return {w[1]: w[3] for w in lines}
    native = sums(subprocess.run([s.guest.workload], capture_output=True, text=True, check=True).stdout)
    c, _ = s.boot()
    with c:
        inside = sums(c.run('workload', 300 * s.scale))
        assert len(native) == 3 and inside == native, '%s, natively %s' % (inside, native)
        s.poweroff(c)


def case_vmlinux(s):
    """The unpacked ELF kernel boots too (64-bit or PVH entry)."""
    s.guest.kernel = os.path.join(s.args.guest, 'vmlinux')
    c, ready = s.boot()
    with c:
        assert ready.group(1) == 'initrd', ready.group(0)
        s.poweroff(c)


def case_firmware(s):
    """SeaBIOS to GRUB on the serial line to Linux with its root on the same qcow2 disk; then reboot and poweroff."""
    path = os.path.join(s.work, 'grub.qcow2')
    shutil.copyfile(os.path.join(s.args.guest, 'grub.qcow2'), path)
    argv = s.base() + ['-m', '512', '-smp', str(s.args.smp)] + list(drive(path, s.args.interface))
    with console.Console(argv, os.path.join(s.work, 'console.log')) as c:
        for cycle in range(2):
            c.expect('SeaBIOS', 60 * s.scale)
            c.expect('Tandem guest', 60 * s.scale)
            c.expect(r'TANDEM-READY \S+ root=/dev/[vs]da1', 180 * s.scale)
            c.expect(PROMPT, 30 * s.scale)
            assert c.run('cat /root/cycle 2>/dev/null || echo 0') == str(cycle)
            c.run('echo %d >/root/cycle; sync' % (cycle + 1))
            if cycle == 0:
                c.send('reboot\n')
        s.poweroff(c)
    check_image(path)


def case_reboot(s):
    """With -no-reboot a reboot ends the emulator with status 0, as poweroff does."""
    c, _ = s.boot()
    with c:
        c.send('reboot\n')
        status = c.wait(60 * s.scale)
        assert status == 0, 'status %s' % status


CASES = {name[5:]: f for name, f in globals().items() if name.startswith('case_')}


# What scripts/make-guest must make besides the usual.
EXTRAS = {'firmware': ['grub'], 'vmlinux': ['vmlinux']}


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('case', choices=sorted(CASES))
    p.add_argument('--emulator', choices=('tandem', 'qemu'), default='tandem')
    p.add_argument('--program', default=os.path.join(ROOT, 'build/release/tools/tandem'))
    p.add_argument('--guest', default=os.path.join(ROOT, 'build/guest'))
    p.add_argument('--accel', default='tcg')
    p.add_argument('--smp', type=int, default=1)
    p.add_argument('--interface', default='virtio')
    p.add_argument('--timeout-scale', type=float, default=float(os.environ.get('TANDEM_TIMEOUT_SCALE', '1')))
    args = p.parse_args()
    if args.accel == 'kvm' and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        skip('no usable /dev/kvm')
    subprocess.run([os.path.join(ROOT, 'scripts/make-guest'), args.guest] + EXTRAS.get(args.case, []), check=True)
    with tempfile.TemporaryDirectory() as work:
        try:
            CASES[args.case](Setup(args, work))
        except (AssertionError, console.ConsoleError) as e:
            sys.exit('%s: %s' % (args.case, e))
    print('%s: ok' % args.case)


if __name__ == '__main__':
    main()
