#!/bin/bash
# usage: guest.sh TANDEM ENGINE SMP IMAGE    run a bare-metal image (guest.inc); 0 if it says PASS, 77 if the engine cannot run here
tandem=$1 engine=$2 smp=$3 image=$4
if [ "$engine" = kvm ] && ! { [ -r /dev/kvm ] && [ -w /dev/kvm ]; }; then
    echo "no usable /dev/kvm"
    exit 77
fi
out=$(timeout 60 "$tandem" -accel "$engine" -nodefaults -serial stdio -m 16 -smp "$smp" -bios "$image" \
    -device isa-debug-exit,iobase=0x501,iosize=2 -device pc-testdev -no-reboot </dev/null 2>&1)
status=$?
echo "$out"
[ $status = 33 ] && grep -q '^PASS' <<<"$out" && exit 0
echo "exit status $status"
exit 1
