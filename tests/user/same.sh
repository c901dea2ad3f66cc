#!/bin/bash
# usage: same.sh TANDEM-USER [OPTIONS] -- PROGRAM [ARGS]: natively and under tandem-user, in both tiers; output and exit status must be the same.
set -u
user=$1; shift
opts=()
while [ "$1" != -- ]; do opts+=("$1"); shift; done
shift
native=$(timeout -s KILL 100 "$@" 2>&1; echo "status $?")
[[ $native != *"status 77" && $native != *"status 126" ]] || { echo "$native"; exit 77; }    # cannot be natively
failed=0
for tier in auto interp; do
    ours=$(timeout -s KILL 280 "$user" -tier $tier "${opts[@]}" "$@" 2>&1; echo "status $?")
    if [ "$ours" != "$native" ]; then
        echo "tier $tier differs:"
        diff <(echo "$native") <(echo "$ours")
        failed=1
    else
        echo "tier $tier: the same, $(echo "$native" | wc -l) lines"
    fi
done
exit $failed
