#!/bin/bash
# usage: nbd.sh TANDEM_IMG    reading and writing through a server of Debian's
set -e
command -v qemu-nbd >/dev/null && command -v qemu-io >/dev/null || { echo "qemu-nbd and qemu-io (Debian: qemu-utils) are not installed"; exit 77; }
img=$(realpath "$1"); dir=$(mktemp -d); trap '[ -z "$pid" ] || kill $pid 2>/dev/null; rm -rf "$dir"' EXIT; cd "$dir"
"$img" convert -O raw nbd+unix:///?socket=$dir/none x 2>err && exit 1
grep -q "Could not open" err || { echo "$img is built without libnbd"; exit 77; }
[ "$(wc -l <err)" = 1 ] || { cat err; exit 1; }
qemu-img create -q -f raw r.raw 8M
qemu-io -f raw -c "write -P 7 1M 300k" -c "write -P 9 5M 2M" r.raw >/dev/null
truncate -s 8M t.raw
serve() { qemu-nbd -t -f raw -k "$dir/s" $1 "$2" & pid=$!; for i in $(seq 100); do [ -S s ] && return; sleep 0.05; done; exit 1; }
stop() { kill $pid; wait $pid 2>/dev/null || true; pid=; rm -f s; }
uri="nbd+unix:///?socket=$dir/s"
serve -r r.raw
"$img" info "$uri" | grep -q "virtual size: 8 MiB"
"$img" convert -O qcow2 "$uri" a.qcow2
"$img" compare a.qcow2 r.raw >/dev/null
"$img" convert -n -O raw r.raw "$uri" 2>err && exit 1
grep -q "read-only" err
stop
serve "" t.raw
"$img" convert -n -O raw a.qcow2 "$uri"
stop
cmp t.raw r.raw
