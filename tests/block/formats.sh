#!/bin/bash
# usage: formats.sh TANDEM_IMG    images of other programs' formats, made by qemu-img, read by us
set -e
command -v qemu-img >/dev/null && command -v qemu-io >/dev/null || { echo "qemu-img and qemu-io (Debian: qemu-utils) are not installed"; exit 77; }
img=$(realpath "$1"); dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
qemu-img create -q -f raw r.raw 20M
for i in 1 2 3 4 5 6; do qemu-io -f raw -c "write -P $i $((i * i * 500))k $((i * 37))k" r.raw >/dev/null; done
while read -r fmt options; do
    rm -f x y z
    qemu-img convert -f raw -O $fmt $options r.raw x
    probe=; [ "$options" = "-o subformat=fixed" ] && probe="-f $fmt"
    qemu-img convert -f $fmt -O raw x z
    "$img" convert $probe -O raw x y
    cmp y z || { echo "$fmt $options: other content"; exit 1; }
    if "$img" snapshot -c s x 2>/dev/null; then echo "$fmt: written to"; exit 1; fi
    for cut in 8 100 511 1000 70000; do     # cut off: an error or zeros, never a crash
        head -c $cut x > c; rc=0; "$img" convert -f $fmt -O raw c y 2>/dev/null || rc=$?
        [ $rc -le 1 ] || { echo "$fmt cut at $cut: exit code $rc"; exit 1; }
    done
done <<EOF
qcow
vdi
vpc
vpc -o subformat=fixed
vhdx
vmdk
vmdk -o subformat=streamOptimized
EOF
