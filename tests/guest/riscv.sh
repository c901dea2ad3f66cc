#!/bin/sh
# riscv.sh TANDEM ACCEL CPUS IMAGE [CPU]: the image prints the same here and under Debian's qemu-system-riscv64, and both end by themselves.
tandem=$1 accel=$2 cpus=$3 image=$4 cpu=${5:-rv64}
if ! command -v qemu-system-riscv64 > /dev/null; then
    echo 'no qemu-system-riscv64 here (package qemu-system-misc)'
    exit 77
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
timeout -s KILL 120 qemu-system-riscv64 -M virt -cpu "$cpu" -m 64M -smp "$cpus" -bios none -kernel "$image" -display none -monitor none \
    -serial "file:$dir/qemu" < /dev/null || exit 1
timeout -s KILL 300 "$tandem" -M virt -cpu "$cpu" -accel "$accel" -m 64M -smp "$cpus" -bios none -kernel "$image" -display none -monitor none -nodefaults \
    -serial "file:$dir/tandem" < /dev/null || { cat "$dir/tandem"; echo "tandem ended with $?"; exit 1; }
diff "$dir/qemu" "$dir/tandem"
