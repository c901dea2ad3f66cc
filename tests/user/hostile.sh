#!/bin/bash
# usage: hostile.sh TANDEM-USER NATIVE FOREIGN: what hostile.c's calls return under tandem-user is what they return natively, but for calls that are refused
# on purpose. FOREIGN may be for another CPU: then the calls that both have are compared. A call that differs gets a second chance: what others do in the system shows too.
set -u
user=$(realpath "$1") native=$2 foreign=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# Refused: they would act on the translator, or are offered by newer kernels only. Others: the host's own flags, sizes or kinds of words are in the result.
refused='bpf|io_uring_.*|iopl|ioperm|perf_event_open|ptrace|userfaultfd|execveat|quotactl'
others='fcntl|fcntl64|open|openat|waitid|recvmmsg|recvmmsg_time64|sendmmsg|mq_open|clock_adjtime|stime|sched_getaffinity|get_mempolicy|io_.*|ipc|old.*|readdir|ustat|_llseek'
cp "$native" "$dir/native" && cp "$foreign" "$dir/foreign" && chmod 755 "$dir" || exit 1
timeout -s KILL 20 "$dir/foreign" close >"$dir/can" 2>/dev/null && cp "$dir/foreign" "$dir/native"     # this kernel runs it: the better reference

differ() # CALL...: names of those that differ; none: all
{
    (cd / && timeout -s KILL 200 "$dir/native" "$@") >"$dir/want" || return
    (cd / && timeout -s KILL 300 "$user" "$dir/foreign" "$@") >"$dir/ours" || { echo "tandem-user: status $?"; return; }
    awk -v leave="^($refused|$others)\$" 'NR == FNR { want[$1] = $0; next } $1 in want && $0 != want[$1] && $1 !~ leave { print $1 }' "$dir/want" "$dir/ours"
}

names=$(differ)
lines=$(wc -l <"$dir/ours")
[ "$lines" -gt 200 ] || { echo "only $lines calls were made"; exit 1; }
for name in $names; do
    for try in 1 2 3; do
        again=$(differ "$name")
        [ -n "$again" ] || break
    done
    [ -z "$again" ] || { echo "differs (native, ours):"; cat "$dir/want" "$dir/ours"; failed=1; }
done
echo "$lines calls with hostile arguments"
exit ${failed:-0}
