#!/bin/bash
shopt -s extglob
# usage: guest.sh TANDEM ENGINE SMP IMAGE [PROBE WHAT...]    run a bare-metal image (guest.inc); 0 if it says PASS, 77 if the engine cannot run here
# PROBE: says whether the host's KVM itself can run such a guest (kvm_host.c); what it says is the reason for 77
# TANDEM may be qemu-system-x86_64 (77 if it is not installed): the images themselves are right
tandem=$1 engine=$2 smp=$3 image=$4
shift 4
stats=(-d stats)
if [[ $tandem = qemu-* ]]; then
    command -v "$tandem" >/dev/null || { echo "$tandem is not installed"; exit 77; }
    stats=(-cpu max -display none)
fi
kvm=; case $engine in *kvm*|*switch-us*) kvm=1;; esac
if [ -n "$kvm" ] && ! { [ -r /dev/kvm ] && [ -w /dev/kvm ]; }; then
    echo "no usable /dev/kvm"
    exit 77
fi
if [ -n "$kvm" ] && [ $# -gt 0 ] && ! timeout -s KILL 100 "$@"; then
    exit 77
fi
out=$(timeout -s KILL 300 "$tandem" -accel "$engine" "${stats[@]}" -nodefaults -serial stdio -m 16 -smp "$smp" -bios "$image" \
    -device isa-debug-exit,iobase=0x501,iosize=2 -device pc-testdev -no-reboot </dev/null 2>&1)
status=$?
echo "$out"
# moving between engines must have happened; short images may end before
if [[ $engine = *switch-us* && $image = *@(irq|smp|state)* ]] && ! grep -q '^engine switches: [1-9]' <<<"$out"; then
    echo "the machine never moved to the other engine"
    exit 1
fi
[ $status = 33 ] && grep -q '^PASS' <<<"$out" && exit 0
echo "exit status $status"
exit 1
