#!/bin/bash
# usage: runtimes.sh TANDEM-USER [DIR]: Debian's language runtimes and larger programs of arm64 (scripts/make-sysroot into DIR) under tandem-user: just-in-time
# compilers, garbage collectors, goroutines, thread pools. What they print is compared with what they must print. 77 (skipped): apt cannot be asked.
# ONLY=NAME,... runs these alone.
set -u
here=$(dirname "$(readlink -f "$0")")
user=$(realpath "$1") out=$(realpath -m "${2:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem/programs/arm64}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
packages="bash coreutils age fzf gh lua5.4 luajit ruby nodejs openjdk-17-jre-headless sqlite3 git openssl ripgrep fd-find jq xz-utils gawk bc busybox-static"
"$here/../../scripts/make-sysroot" arm64 "$out" $packages || { echo "no packages: skipped"; exit 77; }
root=$out/root

run() { timeout -s KILL 600 "$user" -L "$root" "$root/usr/bin/$1" "${@:2}"; }

expect() # NAME WANTED COMMAND...
{
    local name=$1 want=$2 got
    case ",${ONLY:-$name}," in *",$name,"*) ;; *) return ;; esac
    shift 2
    got=$(cd "$dir" && "$@" 2>&1 </dev/null; echo "status $?")
    if [ "$got" = "$want"$'\n'"status 0" ]; then echo "ok $name"; else echo "differs: $name"; diff <(echo "$want"; echo "status 0") <(echo "$got") | head -20; failed=1; fi
}

cat >"$dir/a.lua" <<'L'
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local t = {} for i = 1, 200000 do t[i] = (i * 7919) % 10007 end table.sort(t)
local s = 0 for i = 1, 3000000 do s = s + i % 7 * 1.5 end
print(fib(25), t[1], t[200000], string.format("%.1f %.5f", s, math.sin(1)), (("hello world"):gsub("o", "0")))
local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) print(co(), co(), co())
print(pcall(function() local x = nil; return x.y end) == false, select("#", string.byte(string.rep("x", 200), 1, -1)))
L
lua=$'75025\t0\t10006\t13499995.5 0.84147\thell0 w0rld\n1\t2\t3\ntrue\t200'
expect lua "$lua" run lua5.4 a.lua
expect luajit "$lua" run luajit a.lua
expect luajit-interpreter "$lua" run luajit -joff a.lua

cat >"$dir/ffi.lua" <<'L'
local ffi = require("ffi")
ffi.cdef("int snprintf(char *, size_t, const char *, ...); void qsort(void *, size_t, size_t, int (*)(const int *, const int *));")
local b = ffi.new("char[64]") ffi.C.snprintf(b, 64, "%d %.3f %s", ffi.new("int", 7), 2.5, "x") print(ffi.string(b))
local v = ffi.new("int[6]", { 5, 3, 9, 1, 7, 2 }) ffi.C.qsort(v, 6, 4, function(x, y) return x[0] - y[0] end)
print(v[0], v[5])
local n = 0 for i = 1, 2000 do local f = loadstring("return " .. i .. " * 2") for k = 1, 80 do n = n + f() end end print(n)
L
expect luajit-ffi $'7 2.500 x\n1\t9\n320160000' run luajit ffi.lua

cat >"$dir/a.rb" <<'R'
def fib(n) n < 2 ? n : fib(n - 1) + fib(n - 2) end
h = Hash.new(0); 100000.times { |i| h["k#{i % 97}"] += i }
puts fib(22), h["k5"], "abc".gsub(/b/, "x"), 2**100, [3, 1, 2].sort.inspect
puts 4.times.map { |i| Thread.new { (1..10000).sum * i } }.map(&:value).inspect
f = Fiber.new { Fiber.yield 1; 2 }; puts f.resume, f.resume
puts `echo child`; pid = fork { exit 7 }; Process.wait pid; puts $?.exitstatus
begin; nil.upcase; rescue NoMethodError; puts "rescued"; end
def deep(n) deep(n + 1) end
begin; deep(0); rescue SystemStackError; puts "deep"; end
GC.start; puts ObjectSpace.count_objects[:TOTAL] > 0
R
expect ruby $'17711\n51508760\naxc\n1267650600228229401496703205376\n[1, 2, 3]\n[0, 50005000, 100010000, 150015000]\n1\n2\nchild\n7\nrescued\ndeep\ntrue' run ruby3.1 a.rb

cat >"$dir/a.js" <<'J'
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
const m = new Map(); for (let i = 0; i < 300000; i++) m.set('k' + i % 1000, (m.get('k' + i % 1000) || 0) + i);
console.log(fib(27), m.get('k7'), JSON.stringify([1, { a: 2.5 }]), /(\d+)-(\d+)/.exec('12-34')[2], [3, 1, 2].sort().join());
console.log(require('crypto').createHash('sha256').update('x'.repeat(100000)).digest('hex'));
let s = 0; const a = new Float64Array(1000); for (let r = 0; r < 300; r++) for (let i = 0; i < 1000; i++) s += (a[i] = Math.sqrt(i * r) * 0.5); console.log(s.toFixed(3));
function deep(n) { return deep(n + 1) + 1; } try { deep(0); } catch (e) { console.log(e.constructor.name); }
const wasm = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]));
console.log(new WebAssembly.Instance(wasm).exports.add(40, 2));
const { Worker } = require('worker_threads');
new Worker("let s = 0; for (let i = 0; i < 1e6; i++) s += i; require('worker_threads').parentPort.postMessage(s)", { eval: true }).on('message', x => {
  console.log('worker', x);
  require('child_process').exec('echo child', (e, o) => { console.log(o.trim());
    Promise.all([1, 2, 3].map(x => new Promise(r => setTimeout(() => r(x * x), 5)))).then(x => console.log(x.join())); });
});
J
expect node $'196418 44852100 [1,{"a":2.5}] 34 1,2,3\nd69e68988157833272305aaf21f453c800346e8a3640db6578e260215542e5d4\n36393711.209\nRangeError\n42\nworker 499999500000\nchild\n1,4,9' run node a.js

cat >"$dir/T.java" <<'J'
import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class T {
  static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
  static int depth(int n) { return n == 0 ? 0 : 1 + depth(n - 1); }
  public static void main(String[] a) throws Exception {
    System.out.println(fib(30));
    Map<String, Long> m = new HashMap<>(); for (int i = 0; i < 300000; i++) m.merge("k" + (i % 997), (long)i, Long::sum); System.out.println(m.get("k13"));
    ExecutorService ex = Executors.newFixedThreadPool(6); List<Future<Long>> fs = new ArrayList<>();
    for (int t = 0; t < 12; t++) { final int q = t; fs.add(ex.submit(() -> { long s = 0; for (int i = 0; i < 200000; i++) { s += i ^ q; } synchronized (T.class) { s++; } return s; })); }
    long tot = 0; for (Future<Long> f : fs) tot += f.get(); ex.shutdown(); System.out.println(tot);
    int npe = 0; for (int i = 0; i < 20000; i++) { try { String s = i % 3 == 0 ? null : "x"; npe += s.length() - 1; } catch (NullPointerException e) { npe++; } } System.out.println("npe " + npe);
    try { depth(100000000); } catch (StackOverflowError e) { System.out.println("deep"); }
    int[] arr = new int[10]; try { arr[fib(7)] = 1; } catch (ArrayIndexOutOfBoundsException e) { System.out.println(e.getMessage()); }
    try { System.out.println(1 / arr[0]); } catch (ArithmeticException e) { System.out.println(e.getMessage()); }
    double d = 0; for (int i = 1; i < 2000000; i++) d += Math.sin(i) / i; System.out.printf("%.9f%n", d);
    for (int i = 0; i < 200; i++) { byte[][] g = new byte[64][]; for (int k = 0; k < 64; k++) g[k] = new byte[16384]; } System.gc();
    System.out.println(IntStream.range(0, 100000).parallel().filter(i -> i % 7 == 0).sum());
  }
}
J
java=$'832040\n45018463\n239998800012\nnpe 6667\ndeep\nIndex 13 out of bounds for length 10\n/ by zero\n1.070796145\n714264285'
if (cd "$dir" && javac --release 17 T.java 2>/dev/null || javac T.java) 2>/dev/null; then
    expect java "$java" run ../lib/jvm/java-17-openjdk-arm64/bin/java -cp . T
    expect java-interpreter "$java" run ../lib/jvm/java-17-openjdk-arm64/bin/java -Xint -cp . T
else
    echo "no javac here: java has no program to run"
fi

repository()
{
    export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z GIT_CONFIG_NOSYSTEM=1 HOME=$dir
    local git="$* -c user.name=a -c user.email=b -c init.defaultBranch=m"
    rm -rf repo && mkdir repo && cd repo && $git init -q . && for i in $(seq 1 30); do seq "$i" $((i * 100)) >"f$i"; done
    $git add . && $git commit -qm x && $git checkout -qb other && echo more >>f1 && $git commit -qam y && $git gc -q && $git fsck --no-progress && $git log --format=%H && $git grep -c 777 | tail -1
}
expect git "$(cd "$dir" && repository git)" repository run git

sealed()
{
    run age-keygen -o key 2>/dev/null && seq 1 100000 | run age -r "$(sed -n 's/# public key: //p' key)" -o sealed && run age -d -i key sealed | sha256sum
}
expect age "$(seq 1 100000 | sha256sum)" sealed     # Go

signed()
{
    run openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem 2>/dev/null || run openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem 2>/dev/null
    seq 1 50000 >text && run openssl dgst -sha256 -sign ec.pem -out sig text && run openssl pkey -in ec.pem -pubout -out pub.pem && run openssl dgst -sha256 -verify pub.pem -signature sig text
    for c in aes-256-cbc chacha20 camellia-128-ctr; do
        run openssl enc -$c -pbkdf2 -pass pass:x -in text -out enc && run openssl enc -d -$c -pbkdf2 -pass pass:x -in enc | cmp - text && echo same
    done
    for d in md5 sha1 sha256 sha512 sha3-256 blake2b512; do run openssl dgst -$d -r text; done
}
digests=$(cd "$dir" && seq 1 50000 >text && for d in md5 sha1 sha256 sha512 sha3-256 blake2b512; do openssl dgst -$d -r text; done)
expect openssl $'Verified OK\nsame\nsame\nsame\n'"$digests" signed

search() # Go, Rust
{
    seq 1 100000 | run fzf --filter 9999 | head -3
    (cd /usr/include/linux && run rg -l --sort path 'struct \w+_desc' . | md5sum && run fdfind -e h . | wc -l)
}
expect search $'9999\n99990\n99991\n'"$(cd /usr/include/linux && grep -lE 'struct \w+_desc' -r . | LC_ALL=C sort | md5sum)"$'\n'"$(cd /usr/include/linux && find . -name '*.h' | wc -l)" search
expect gh $'gh version' bash -c "timeout 100 '$user' -L '$root' '$root/usr/bin/gh' --version | cut -d' ' -f1,2 | head -1"

packed()
{
    head -c 3000000 /dev/urandom >random && cat random text random >big && run xz -T2 -k big && run xz -t big.xz && run xz -dc big.xz | cmp - big && echo same
    echo '{"a":[1,2.5,{"b":"x"}]}' | run jq -c '.a[2].b, (.a|length), [range(1000)]|tostring|length'
    echo 'scale=60; 4*a(1)' | run bc -l
    run gawk 'BEGIN { for (i = 1; i < 20000; i++) { s += sin(i) * log(i); n[i % 97] = n[i % 97] i } printf "%.10f %d\n", s, length(n[5]) }'
    "$user" "$root/bin/busybox" sh -c 'for i in 1 2 3; do echo $((i * i)); done | md5sum; seq 1 2000 | gzip | gunzip | awk "{ s += \$1 } END { print s }"'
}
expect packed $'same\n1\n1\n3891\n3.141592653589793238462643383279502884197169399375105820974944\n-10.6636295892 918\n7209b172623147f9db1f3c6e5ba9d734  -\n2001000' packed

cat >"$dir/sql" <<'S'
pragma journal_mode=wal;
create table t(a integer primary key, b, c text); create index i on t(b);
with recursive n(x) as (select 1 union all select x + 1 from n where x < 30000) insert into t select x, x * 7919 % 10007, printf('row %d', x) from n;
begin; update t set c = c || '!' where b % 3 = 0; delete from t where a % 5 = 0; commit;
select count(*), sum(b), max(c), count(distinct b) from t; select group_concat(a) from (select a from t where b between 100 and 110 order by b, a);
pragma integrity_check;
S
database() { run sqlite3 data.db <sql; }
expect sqlite "$(cd "$dir" && command -v sqlite3 >/dev/null && sqlite3 native.db <sql || echo "no sqlite3 here")" database
exit $failed
