#!/bin/bash
# usage: table.sh TANDEM ENGINE SMP IMAGE [PROBE WHAT...]    run table.S under ENGINE and under tcg: both pass, and print the same; 77 if the engine cannot run here
dir=$(dirname "$0")
got=$("$dir/guest.sh" "$@")
status=$?
echo "$got"
[ $status = 0 ] || exit $status
want=$("$dir/guest.sh" "$1" tcg "$3" "$4") || { echo "under tcg: $want"; exit 1; }
hashes() { grep -aE '^[0-9a-f]{8}' <<<"$1" | tr -d '\r'; }
[ "$(hashes "$got" | wc -l)" = 4 ] && [ "$(hashes "$got")" = "$(hashes "$want")" ] && exit 0
echo "tcg says:"
hashes "$want"
exit 1
