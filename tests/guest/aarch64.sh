#!/bin/sh
# aarch64.sh TANDEM ACCEL CPUS IMAGE MACHINE CPU: the image prints the same here and under Debian's qemu-system-aarch64, and both end by themselves.
tandem=$1 accel=$2 cpus=$3 image=$4 machine=$5 cpu=$6
if ! command -v qemu-system-aarch64 > /dev/null; then
    echo 'no qemu-system-aarch64 here (package qemu-system-arm)'
    exit 77
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
timeout -s KILL 200 qemu-system-aarch64 -M "$machine" -cpu "$cpu" -m 128M -smp "$cpus" -kernel "$image" -display none -monitor none -net none \
    -serial "file:$dir/qemu" < /dev/null || { echo "qemu ended with $?"; exit 1; }
timeout -s KILL 260 "$tandem" -arch aarch64 -M "$machine" -cpu "$cpu" -accel "$accel" -m 128M -smp "$cpus" -kernel "$image" -display none -monitor none \
    -nodefaults -serial "file:$dir/tandem" < /dev/null || { cat "$dir/tandem"; echo "tandem ended with $?"; exit 1; }
diff "$dir/qemu" "$dir/tandem"
