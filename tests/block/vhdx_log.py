#!/usr/bin/env python3
"""usage: vhdx_log.py TANDEM_IMG    a VHDX file whose writer died: its log, replayed in memory, gives what qemu-img's replay gives"""
import os, shutil, struct, subprocess, sys, tempfile


def run(*cmd, ok=True):
    r = subprocess.run(cmd, capture_output=True, text=True)
    assert not ok or r.returncode == 0, '%s: %s%s' % (' '.join(cmd), r.stdout, r.stderr)
    return r


def bat_place(path):
    with open(path, 'rb') as f:
        f.seek(192 << 10)
        regions = f.read(65536)
    for i in range(struct.unpack_from('<I', regions, 8)[0]):
        if regions[16 + i * 32:32 + i * 32] == bytes.fromhex('6677c22d23f600429d64115e9bfd4a08'):
            return struct.unpack_from('<Q', regions, 32 + i * 32)[0]
    raise AssertionError('no block allocation table')


def patch(path, at, data):
    with open(path, 'r+b') as f:
        f.seek(at)
        f.write(data)


def crc32c(data):
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ 0x82f63b78 if i & 1 else i >> 1
        table.append(i)
    c = 0xffffffff
    for b in data:
        c = table[(c ^ b) & 255] ^ c >> 8
    return c ^ 0xffffffff


def mark_dirty(path):
    """As if the writer had died before it took its log back: the header names the log's identifier again."""
    with open(path, 'rb') as f:
        data = f.read(2 << 20)
    entries = [at for at in range(1 << 20, 2 << 20, 4096) if data[at:at + 4] == b'loge']
    entry = max(entries, key=lambda at: struct.unpack_from('<Q', data, at + 16)[0])
    newest = max((64 << 10, 128 << 10), key=lambda at: struct.unpack_from('<Q', data, at + 8)[0])
    header = bytearray(data[newest:newest + 4096])
    struct.pack_into('<IQ', header, 4, 0, struct.unpack_from('<Q', header, 8)[0] + 1)
    header[48:64] = data[entry + 32:entry + 48]
    struct.pack_into('<I', header, 4, crc32c(header))
    patch(path, (64 << 10) + (128 << 10) - newest, bytes(header))


def main():
    img = os.path.abspath(sys.argv[1])
    if not shutil.which('qemu-img') or not shutil.which('qemu-io'):
        print('qemu-img and qemu-io (Debian: qemu-utils) are not installed')
        return 77
    with tempfile.TemporaryDirectory() as d:
        os.chdir(d)
        run('qemu-img', 'create', '-q', '-f', 'vhdx', '-o', 'block_size=1M', 'a.vhdx', '64M')
        writes = [w for i in range(12) for w in ('-c', 'write -P %d %dM 200k' % (i + 1, i * 5))]
        run('qemu-io', '-f', 'vhdx', *writes, 'a.vhdx')
        mark_dirty('a.vhdx')
        # The writes to the table that the log promises did not reach the disk.
        patch('a.vhdx', bat_place('a.vhdx'), b'\0' * 4096)
        shutil.copy('a.vhdx', 'theirs.vhdx')
        assert run('qemu-img', 'convert', '-O', 'raw', 'a.vhdx', 'x.raw', ok=False).returncode, 'the log was empty: this test tests nothing'
        run('qemu-img', 'check', '-r', 'all', 'theirs.vhdx')
        run('qemu-img', 'convert', '-f', 'vhdx', '-O', 'raw', 'theirs.vhdx', 'theirs.raw')
        with open('a.vhdx', 'rb') as f:
            before = f.read()
        run(img, 'convert', '-O', 'raw', 'a.vhdx', 'ours.raw')
        with open('theirs.raw', 'rb') as a, open('ours.raw', 'rb') as b:
            theirs = a.read()
            assert theirs == b.read(), 'other content'
            assert theirs[55 << 20] == 12, 'their replay lost data'
        with open('a.vhdx', 'rb') as f:
            assert f.read() == before, 'reading wrote to the file'
        # A log that is damaged everywhere is refused; damage of one byte gives an error or an older state, no crash.
        entries = [at for at in range(1 << 20, 2 << 20, 4096) if before[at:at + 4] == b'loge']
        log = max(entries, key=lambda at: struct.unpack_from('<Q', before, at + 16)[0])
        for at in range(log, log + 12288, 97):
            shutil.copy('a.vhdx', 'c.vhdx')
            patch('c.vhdx', at, bytes([before[at] ^ 0x55]))
            r = run(img, 'convert', '-O', 'raw', 'c.vhdx', 'c.raw', ok=False)
            assert r.returncode in (0, 1) and r.stderr.count('\n') == r.returncode, r.stderr
        patch('c.vhdx', 1 << 20, before[1 << 20:2 << 20].replace(b'loge', b'nope'))
        r = run(img, 'convert', '-O', 'raw', 'c.vhdx', 'c.raw', ok=False)
        assert r.returncode == 1 and 'log' in r.stderr, r.stderr
    print('vhdx log: ok')
    return 0


sys.exit(main())
