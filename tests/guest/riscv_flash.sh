#!/bin/sh
# riscv_flash.sh TANDEM ELF: code in the first bank of flash is what the machine starts with, in the second what OpenSBI starts; here as under Debian's
# qemu-system-riscv64.
tandem=$1 elf=$2
for need in qemu-system-riscv64 riscv64-linux-gnu-objcopy; do
    command -v $need > /dev/null || { echo "no $need here"; exit 77; }
done
[ -f /usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin ] || { echo 'no OpenSBI here (package opensbi)'; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
riscv64-linux-gnu-objcopy -O binary "$elf" "$dir/flash" && truncate -s 32M "$dir/flash" || exit 1

run() # OUTPUT PROGRAM ARGS...: the last two lines of the console
{
    out=$1
    shift
    timeout -s KILL 120 "$@" -M virt -m 128M -display none -monitor none -serial "file:$dir/serial" < /dev/null || { echo "$1 ended with $?"; return 1; }
    tail -2 "$dir/serial" > "$dir/$out"
}

for how in 'unit=0 -bios none' 'unit=0' 'unit=1'; do
    # shellcheck disable=SC2086
    set -- -drive "if=pflash,format=raw,file=$dir/flash,${how%% *}" ${how#unit=?}
    run theirs qemu-system-riscv64 "$@" && run ours "$tandem" -arch riscv64 -nodefaults "$@" || exit 1
    echo "$how:"
    cat "$dir/ours"
    diff "$dir/theirs" "$dir/ours" || exit 1
done
"$tandem" -arch riscv64 -M virt -m 128M -nodefaults -display none -monitor none -drive "if=pflash,unit=0,format=raw,file=$dir/flash" -bios "$elf" \
    < /dev/null > "$dir/out" 2>&1 && { echo 'two firmwares are taken'; exit 1; }
grep -q 'give one of them' "$dir/out"
