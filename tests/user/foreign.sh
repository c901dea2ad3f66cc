#!/bin/bash
# usage: foreign.sh TANDEM-USER NATIVE FOREIGN: the same source built for this CPU, run natively, and for another one, run under tandem-user in both
# tiers: the same output and exit status but for the lines that only one CPU has.
set -u
user=$1 native=$2 foreign=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
own='^(undefined|breakpoint|privileged|division by 0|changed in the handler|machine|rewritten code|by mprotect|read over code|changes its own|x86:|another thread)'
cp "$native" "$dir/program"
want=$(timeout -s KILL 100 "$dir/program" 2>&1; echo "status $?")
[[ $want != *"status 77" ]] || { echo "$want"; exit 77; }
want=$(grep -vE "$own" <<<"$want")
cp "$foreign" "$dir/program" || exit 1
failed=0
for tier in auto interp; do
    ours=$(timeout -s KILL 280 "$user" -tier $tier "$dir/program" 2>&1; echo "status $?")
    ours=$(grep -vE "$own" <<<"$ours")
    if [ "$ours" = "$want" ]; then
        echo "tier $tier: the same, $(wc -l <<<"$want") lines"
    else
        echo "tier $tier differs:"
        diff <(echo "$want") <(echo "$ours")
        failed=1
    fi
done
exit $failed
