#!/bin/bash
# usage: doorbell.sh TANDEM ENGINE    SeaBIOS boots a sector from a virtio disk; its queue's doorbell is an ioeventfd. 77 without KVM or SeaBIOS
tandem=$1 engine=$2
[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo "no usable /dev/kvm"; exit 77; }
[ -r /usr/share/seabios/bios-256k.bin ] || { echo "no SeaBIOS"; exit 77; }
disk=$(mktemp) || exit 1
trap 'rm -f "$disk"' EXIT
# mov $0x10, %al; mov $0x501, %dx; out %al, %dx; hlt
printf '\xb0\x10\xba\x01\x05\xee\xf4' >"$disk"
printf '\x55\xaa' | dd of="$disk" bs=1 seek=510 status=none
truncate -s 1M "$disk"
out=$(timeout -s KILL 300 "$tandem" -accel "$engine" -d stats -nodefaults -m 32 -drive "file=$disk,format=raw,if=virtio" \
    -device isa-debug-exit,iobase=0x501,iosize=2 -no-reboot </dev/null 2>&1)
status=$?
echo "$out"
[ $status = 33 ] && grep -q 'ioeventfds [1-9]' <<<"$out" && exit 0
echo "exit status $status"
exit 1
