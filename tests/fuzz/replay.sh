#!/bin/bash
# usage: replay.sh PROGRAM CORPUS   run a fuzz target once over each of its kept inputs (and an empty one)
empty=$(mktemp) && trap 'rm -f "$empty"' EXIT
mapfile -t inputs < <(find "$2" -type f 2>/dev/null | sort)
"$1" "$empty" "${inputs[@]}"
