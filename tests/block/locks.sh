#!/bin/bash
# usage: locks.sh TANDEM_IMG    QEMU and we exclude each other from an image, readers share it
set -e
command -v qemu-img >/dev/null && command -v qemu-io >/dev/null || { echo "qemu-img and qemu-io (Debian: qemu-utils) are not installed"; exit 77; }
img=$(realpath "$1"); dir=$(mktemp -d); trap 'exec 3>&-; wait; rm -rf "$dir"' EXIT; cd "$dir"
qemu-img create -q -f qcow2 a.qcow2 8M
hold() { mkfifo in; "$@" <in >/dev/null 2>&1 & exec 3>in; for i in $(seq 100); do grep -q "OFDLCK.*:$(stat -c %i a.qcow2) " /proc/locks && return; sleep 0.05; done; exit 1; }
release() { exec 3>&-; wait; rm in; }
refused() { if "$@" >/dev/null 2>err; then echo "not refused: $*"; exit 1; fi; grep -q lock err || { cat err; exit 1; }; [ "$(grep -c . err)" -le 2 ]; }

hold qemu-io -f qcow2 a.qcow2                   # QEMU writes
refused "$img" convert -O raw a.qcow2 o.raw
refused "$img" resize a.qcow2 9M
refused "$img" create -f qcow2 a.qcow2 1M
"$img" info -U a.qcow2 >/dev/null
release
hold qemu-io -r -f qcow2 a.qcow2                # QEMU reads
"$img" convert -O raw a.qcow2 o.raw
refused "$img" snapshot -c s a.qcow2
release
# We write: a benchmark without end, as far as this test is concerned.
"$img" bench -w -c 100000000 -d 1 --flush-interval 1 -f qcow2 a.qcow2 >/dev/null 2>&1 & pid=$!
for i in $(seq 100); do grep -q "OFDLCK.*:$(stat -c %i a.qcow2) " /proc/locks && break; sleep 0.05; done
refused qemu-img convert -O raw a.qcow2 o.raw
refused qemu-io -f qcow2 -c "write 0 512" a.qcow2
refused "$img" info a.qcow2
kill -9 $pid; wait $pid 2>/dev/null || true
qemu-img check -q a.qcow2 || [ $? = 3 ]         # leaks at most
"$img" check -q -r all a.qcow2
