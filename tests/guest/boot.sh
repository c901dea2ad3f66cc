#!/bin/bash
# usage: boot.sh EMULATOR IMAGE KIND [ENGINE]    boot the image (mboot.S, bios.S) with -kernel; KIND (multiboot, pvh, real, zimage) is what it must say,
# with and without a module
emulator=$1 image=$2 kind=$3 engine=${4:-tcg}
extra=()
if [[ $emulator = qemu-* ]]; then
    command -v "$emulator" >/dev/null || { echo "$emulator is not installed"; exit 77; }
    extra=(-cpu max -display none)
fi
case $kind in
    real | zimage) [ -e /usr/share/seabios/bios-256k.bin ] || { echo "SeaBIOS is not installed"; exit 77; } ;;
esac
[[ $engine != kvm* ]] || [ -w /dev/kvm ] || { echo "no usable /dev/kvm"; exit 77; }
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
echo "the module's text" >"$tmp/module"
for with in '' module; do
    out=$(timeout -s KILL 120 "$emulator" -accel "$engine" "${extra[@]}" -nodefaults -serial stdio -m 64 -kernel "$image" -append "one two=3" ${with:+-initrd "$tmp/module"} \
        -device isa-debug-exit,iobase=0x501,iosize=2 -no-reboot </dev/null 2>&1 | tr -d '\r')
    echo "$out"
    grep -q "^$kind$" <<<"$out" && grep -q '^command: .*one two=3' <<<"$out" && grep -q "^modules: ${with:+1}" <<<"$out" && grep -q '^memory: \(3f\|40\)' <<<"$out" &&
        grep -q '^PASS' <<<"$out" || { echo "not as wanted: $kind, module '$with'"; exit 1; }
    [ -z "$with" ] || grep -q "^the module's text" <<<"$out" || { echo "no module"; exit 1; }
done
