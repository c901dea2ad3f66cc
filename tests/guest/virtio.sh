#!/bin/bash
# virtio.sh TANDEM ARCH IMAGE: the image (virtio.c) drives the virtio devices of the MMIO transport and prints the same here and under Debian's QEMU; what it
# wrote to disk and console is there.
tandem=$1 arch=$2 image=$3
qemu=qemu-system-$arch
command -v "$qemu" >/dev/null || { echo "no $qemu here"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
case $arch in
    riscv64) machine=(-M virt -cpu rv64 -bios none) ;;
    aarch64) machine=(-M virt -cpu cortex-a72) ;;
esac
run() # NAME SECONDS PROGRAM ARGUMENT...
{
    local name=$1 limit=$2
    shift 2
    { echo 'the first sector'; head -c 1048559 /dev/zero; } >"$dir/$name.disk"
    timeout -s KILL "$limit" "$@" "${machine[@]}" -m 128M -kernel "$image" -display none -monitor none -nodefaults -serial "file:$dir/$name" \
        -drive "if=none,id=d,format=raw,file=$dir/$name.disk" -device virtio-blk-device,drive=d -netdev user,id=n -device virtio-net-device,netdev=n \
        -device virtio-rng-device -chardev "file,id=c,path=$dir/$name.console" </dev/null || { cat "$dir/$name"; echo "$name ended with $?"; exit 1; }
    [ "$(cat "$dir/$name.console")" = 'to the host' ] || { echo "$name: nothing on the console"; exit 1; }
}
run qemu 200 "$qemu" -global virtio-mmio.force-legacy=false -device virtio-serial-device -device virtconsole,chardev=c
run tandem 260 "$tandem" -arch "$arch" -device virtio-console-device,chardev=c
diff "$dir/qemu" "$dir/tandem" && cmp "$dir/qemu.disk" "$dir/tandem.disk" && grep -q '^most are not 0 1$' "$dir/tandem" && grep -q '^bytes as written 200$' "$dir/tandem"
