#!/bin/bash
# usage: programs.sh TANDEM-USER: Debian's own programs do under tandem-user what they do natively.
set -u
user=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

check() # NAME COMMAND...
{
    local name=$1 native ours
    shift
    native=$(cd "$dir" && timeout -s KILL 100 "$@" 2>&1 </dev/null; echo "status $?")
    ours=$(cd "$dir" && timeout -s KILL 300 "$user" "$@" 2>&1 </dev/null; echo "status $?")
    if [ "$native" = "$ours" ]; then echo "ok $name"; else echo "differs: $name"; diff <(echo "$native") <(echo "$ours") | head -20; failed=1; fi
}

wrong() # STATUS PATTERN ARGS...: wrong input is one line and the exit status that a shell expects
{
    local want=$1 pattern=$2 out status
    shift 2
    out=$(timeout -s KILL 20 "$user" "$@" 2>&1 </dev/null) ; status=$?
    if [ "$status" = "$want" ] && [ "$(echo "$out" | wc -l)" = 1 ] && [[ $out == *$pattern* ]]; then
        echo "ok wrong input: $out"
    else
        echo "wrong input ($*): status $status, $out"; failed=1
    fi
}

cat >"$dir/prog.c" <<'C'
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int cmp(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void) { int v[1000]; double s = 0; for (int i = 0; i < 1000; i++) v[i] = (i * 7919) % 1000; qsort(v, 1000, 4, cmp);
 for (int i = 0; i < 1000; i++) s += sqrt(v[i]) * sin(i); long double l = s; printf("%d %d %.15g %.20Lg %s\n", v[0], v[999], s, l * l, strstr("needle in hay", "in")); return 5; }
C
printf '#!/bin/sh\necho script $0 $1; exit 4\n' >"$dir/script"; chmod +x "$dir/script"
printf 'garbage that is long enough to be read as a header of something' >"$dir/garbage"; chmod +x "$dir/garbage"
printf '\177ELF\2\1\1' >"$dir/cut"; chmod +x "$dir/cut"
head -c 5000 /bin/ls >"$dir/half"; chmod +x "$dir/half"
printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\052\0\1\0\0\0' >"$dir/other"; chmod +x "$dir/other"
: >"$dir/plain"

check bash bash -c 'for i in $(seq 1 30); do x=$((x+i)); done; echo $x | tee t; cat t | tr 0-9 a-j; (exit 3); echo $?; trap "echo bye" EXIT; kill -USR1 $$ 2>/dev/null & wait; echo never'
check sort sh -c 'seq 1 20000 | sort -R --random-source=/bin/ls | sort -n | sha256sum; ls /usr/lib/x86_64-linux-gnu/gconv | sort | md5sum'
check awk awk 'BEGIN { for (i = 1; i < 20000; i++) s += sin(i) * log(i); printf "%.10f\n", s }'
check perl perl -e '$h{$_ % 97} .= $_ for 1..20000; print length(join "", map { $h{$_} } sort keys %h), "\n"; $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; sleep 5; exit 6'
check compile gcc -O2 -o prog prog.c -lm
check compiled ./prog
check gzip sh -c 'head -c 3000000 /dev/zero | gzip -9 | gzip -d | cksum'
check script ./script argument
check find sh -c 'find /usr/include -name "*.h" -newer /nonexistent; find /usr/include/linux -type f | wc -l; grep -rl KVM_RUN /usr/include/linux | sort'
check comm sh -c 'cat /proc/$$/comm /proc/self/comm; bash -c "ps -o comm= -p \$\$"; ./script x; ps -o comm= -p $$'
check limits bash -c 'ulimit -S -s 2048; ulimit -s; ulimit -S -v 900000; ulimit -v; sh -c "ulimit -s; ulimit -v"; dd if=/dev/zero of=/dev/null bs=1G count=1'
check missing-command bash -c 'nonexistent-command; echo $?'
command -v python3 >/dev/null && check python /usr/bin/env python3 -c '
import threading, subprocess, hashlib, sys
r = []
t = [threading.Thread(target=lambda i=i: r.append(sum(range(i * 1000)))) for i in range(6)]
[x.start() for x in t]; [x.join() for x in t]
print(sorted(r), subprocess.run(["sh", "-c", "exit 9"]).returncode, hashlib.sha256(b"x" * 100000).hexdigest())
sys.exit(8)'

# A log makes it start itself anew for each program, whatever that one's name looks like.
cp /bin/echo "$dir/-u"
[ "$(cd "$dir" && PATH=:$PATH timeout -s KILL 100 "$user" -d stats -D /dev/null /usr/bin/env -- -u x 2>&1)" = x ] && echo "ok a program like an option" || { echo "a program like an option differs"; failed=1; }

# A sysroot comes first, but for what the kernel shows of itself, temporary files and the root.
mkdir -p "$dir/root"/{proc,sys,dev,tmp,etc/own}
echo mine >"$dir/root/etc/own/file"
seen=$(timeout -s KILL 100 "$user" -L "$dir/root" /bin/sh -c 'cat /etc/own/file; cd /etc/own && ls; test -d /proc/self && ls /proc | grep -c "^meminfo"; ls /dev | grep -x null
    f=$(mktemp /tmp/tandem-XXXXXX); ls "$f"* | grep -c "$f"; rm "$f"; test / -ef /proc/self/root && echo root')
if [ "$seen" = "mine"$'\n'"file"$'\n'"1"$'\n'"null"$'\n'"1"$'\n'"root" ]; then echo "ok sysroot"; else echo "sysroot: $seen"; failed=1; fi

wrong 127 "No such file" "$dir/nothing"
wrong 127 "cannot open" nonexistent-program
wrong 126 "not executable" "$dir/plain"
wrong 126 "no regular file" "$dir"
wrong 126 "no ELF program" "$dir/garbage"
wrong 126 "cut off" "$dir/half"
wrong 126 "no ELF program" "$dir/cut"
wrong 126 "CPU that is not supported" "$dir/other"
wrong 126 "no model" -cpu nonsense /bin/true
wrong 1 "unknown option" -nonsense /bin/true
wrong 1 "wants" -L
wrong 1 "which program" -strace
wrong 1 "-E wants" -E novalue /bin/true
exit $failed
