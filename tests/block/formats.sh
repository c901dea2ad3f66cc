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
    case "$options" in
    *Flat*|*twoGb*) ;;                      # a descriptor: its figures are those of other files
    *) diff <(qemu-img info $probe x | grep -E '^(file|virtual|disk|cluster)') <("$img" info $probe x | grep -E '^(file|virtual|disk|cluster)') ||
           { echo "$fmt $options: info says something else"; exit 1; } ;;
    esac
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
vmdk -o subformat=monolithicFlat
vmdk -o subformat=twoGbMaxExtentFlat
vmdk -o subformat=twoGbMaxExtentSparse
EOF
# Disks of several extents: 2 GiB each, a piece of zeros, an offset; and descriptors that want something else.
qemu-img create -q -f raw r3.raw 4300M
qemu-io -f raw -c "write -P 7 2047M 2M" -c "write -P 8 4200M 300k" r3.raw >/dev/null
for sub in twoGbMaxExtentSparse twoGbMaxExtentFlat; do
    qemu-img convert -f raw -O vmdk -o subformat=$sub r3.raw many.vmdk
    "$img" compare -q -f raw r3.raw many.vmdk
    "$img" info many.vmdk | grep -q "virtual size: 4.2 GiB"
    rm -f many*
done
head -c 1048576 r.raw > part
desc() { printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=%s\ncreateType="custom"\n%s\n' "$1" "$2" > d.vmdk; }
refused() { if "$img" convert -O raw d.vmdk y 2>err; then echo "opened: $(cat d.vmdk)"; exit 1; fi; [ "$(wc -l <err)" = 1 ] || { cat err; exit 1; }; }
desc ffffffff "RW 1024 FLAT \"part\" 512
RW 8 ZERO
RW 100 FLAT \"part\" 0"
"$img" convert -O raw d.vmdk y
{ tail -c +262145 part | head -c 524288; head -c 4096 /dev/zero; head -c 51200 part; } | cmp - y
desc 12345678 'RW 1024 FLAT "part" 0'; refused
desc ffffffff ''; refused
desc ffffffff 'RW 1024 FLAT "gone" 0'; refused
desc ffffffff 'RW 1024 SPARSE "d.vmdk"'; refused
desc ffffffff 'RW 1024 SPARSE "part"'; refused
desc ffffffff 'RW 99999999999999999999 FLAT "part" 0'; refused
desc ffffffff 'RW -1 FLAT "part" 0'; refused
desc ffffffff 'RW 1024 TAPE "part" 0'; refused
desc ffffffff 'RW 1024 FLAT part 0'; refused
"$img" info d.vmdk 2>/dev/null && exit 1
desc ffffffff 'RW 1024 FLAT "gone" 0'
"$img" info d.vmdk | grep -q "virtual size: 512 KiB"     # describing opens nothing else
