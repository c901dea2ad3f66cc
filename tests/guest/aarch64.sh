#!/bin/sh
# aarch64.sh TANDEM ACCEL CPUS IMAGE MACHINE CPU [FILE]: the image prints the same here and under Debian's qemu-system-aarch64, and both end by themselves;
# FILE: it prints that.
tandem=$1 accel=$2 cpus=$3 image=$4 machine=$5 cpu=$6 file=$7
if [ -z "$file" ] && ! command -v qemu-system-aarch64 > /dev/null; then
    echo 'no qemu-system-aarch64 here (package qemu-system-arm)'
    exit 77
fi
case $machine in *secure=on*) how=-bios ;; *) how=-kernel ;; esac        # EL3 begins in flash
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
if [ -n "$file" ]; then
    cp "$file" "$dir/qemu"
else
    timeout -s KILL 200 qemu-system-aarch64 -M "$machine" -cpu "$cpu" -m 128M -smp "$cpus" $how "$image" -display none -monitor none -net none \
        -serial "file:$dir/qemu" < /dev/null || { echo "qemu ended with $?"; exit 1; }
fi
timeout -s KILL 260 "$tandem" -arch aarch64 -M "$machine" -cpu "$cpu" -accel "$accel" -m 128M -smp "$cpus" $how "$image" -display none -monitor none \
    -nodefaults -serial "file:$dir/tandem" < /dev/null || { cat "$dir/tandem"; echo "tandem ended with $?"; exit 1; }
diff "$dir/qemu" "$dir/tandem"
