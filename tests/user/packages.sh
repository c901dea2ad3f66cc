#!/bin/bash
# usage: packages.sh TANDEM-USER [DIR]: Debian's own programs of other architectures (scripts/make-sysroot into DIR/ARCH) do under tandem-user what this system's
# do natively. 77 (skipped): apt cannot be asked.
set -u
here=$(dirname "$(readlink -f "$0")")
user=$(realpath "$1") out=$(realpath -m "${2:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem/sysroots}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

cat >"$dir/prog.c" <<'C'
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int cmp(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void) { int v[1000]; double s = 0; for (int i = 0; i < 1000; i++) v[i] = (i * 7919) % 1000; qsort(v, 1000, 4, cmp);
 for (int i = 0; i < 1000; i++) s += sqrt(v[i]) + 1.0 / (i + 1); printf("%d %d %.12g %s\n", v[0], v[999], s, strstr("needle in hay", "in")); return 5; }
C

check() # NAME NATIVE-PROGRAM FOREIGN-PROGRAM ARGS...
{
    local name=$1 native=$2 foreign=$3 want ours
    shift 3
    want=$(cd "$dir" && timeout -s KILL 100 "$native" "$@" 2>&1 </dev/null; echo "status $?")
    ours=$(cd "$dir" && timeout -s KILL 500 "$user" -L "$root" "$foreign" "$@" 2>&1 </dev/null; echo "status $?")
    if [ "$want" = "$ours" ]; then echo "ok $arch $name"; else echo "differs: $arch $name"; diff <(echo "$want") <(echo "$ours") | head -20; failed=1; fi
}

programs()
{
    check bash bash "$root/bin/bash" -c 'for i in $(seq 1 30); do x=$((x+i)); done; echo $x | tee t; cat t | tr 0-9 a-j; (exit 3); echo $?; trap "echo bye" EXIT; kill -USR1 $$ & wait; echo never'
    check sort sh "$root/bin/dash" -c 'seq 1 20000 | sort -R --random-source=/bin/true | sort -n | sha256sum; ls /usr/lib/x86_64-linux-gnu/gconv | sort | md5sum; echo 1 2 3 | awk "{ print \$2 * 2.5 }"'
    check perl perl "$root/usr/bin/perl" -e '$h{$_ % 97} .= $_ for 1..20000; print length(join "", map { $h{$_} } sort keys %h), "\n"; $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; sleep 5; printf "%.15g\n", sin(1) * exp(2); exit 6'
    check python python3 "$root/usr/bin/python3.11" -c '
import threading, subprocess, hashlib, sys
r = []
t = [threading.Thread(target=lambda i=i: r.append(sum(range(i * 1000)))) for i in range(6)]
[x.start() for x in t]; [x.join() for x in t]
print(sorted(r), subprocess.run(["sh", "-c", "exit 9"]).returncode, hashlib.sha256(b"x" * 100000).hexdigest(), 1 / 3, 2 ** 200)
sys.exit(8)'
    cat >"$dir/sql" <<'S'
create table t(a, b); insert into t values (1, 2), (3, 4.5);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000) select sum(x), count(*), avg(x * 1.5) from c; select * from t order by b desc;
S
    local sum
    sum=$("$user" -L "$root" "$root/usr/bin/sqlite3" <"$dir/sql" 2>&1 | tr '\n' ' ')
    [ "$sum" = "200010000|20000|15000.75 3|4.5 1|2 " ] && echo "ok $arch sqlite" || { echo "$arch sqlite: $sum"; failed=1; }
    sum=$(cd "$dir" && gcc -O2 -o native prog.c -lm && ./native; echo "status $?")
    [ "$sum" = "$(cd "$dir" && "$user" -L "$root" "$root/usr/bin/gcc" -O2 -o foreign prog.c -lm 2>&1 && "$user" -L "$root" ./foreign; echo "status $?")" ] &&
        echo "ok $arch gcc" || { echo "$arch gcc or what it made differs"; failed=1; }
}

for arch in arm64 i386; do
    "$here/../../scripts/make-sysroot" "$arch" "$out/$arch" bash dash coreutils mawk perl-base python3-minimal sqlite3 gcc libc6-dev || { echo "no packages of $arch: skipped"; exit 77; }
    root=$out/$arch/root
    programs
done
exit $failed
