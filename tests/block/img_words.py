#!/usr/bin/env python3
"""tandem-img under the name qemu-img against Debian's qemu-img: the same commands, the same exit codes and output.

usage: img_words.py TANDEM_IMG.  What may differ is masked: places and sizes of metadata on the host, times, and the
wording of errors (they must be one line that names the program, on stderr, with the same exit code)."""
import json, os, re, shutil, subprocess, sys, tempfile

SCRIPT = [
    "create -f qcow2 base.qcow2 64M",
    "create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2",
    "create -f raw r.raw 3M",
    "create -f qcow2 -o cluster_size=4k,refcount_bits=8,lazy_refcounts=on small.qcow2 10M",
    "create -f qcow2 -o compat=0.10 v2.qcow2 5M",
    "create -f qcow2 -o extended_l2=on,compression_type=zstd ext.qcow2 5M",
    "create -f qcow2 -o data_file=d.raw,data_file_raw=on data.qcow2 2M",
    "create -f qcow2 -o preallocation=metadata pre.qcow2 8M",
    "create -f qcow2 -o size=7M sized.qcow2",
    "create -f qcow2 -o refcount_bits=1,compat=0.10 bad.qcow2 1M",
    "create -f qcow2 -o cluster_size=3k bad.qcow2 1M",
    "create -f qcow2 -o extended_l2=on,cluster_size=4k bad.qcow2 1M",
    "create -f qcow2 -o nonsense=1 bad.qcow2 1M",
    "create -f qcow2 bad.qcow2",
    "create -f qcow2 bad.qcow2 12Q",
    "create -f what bad.qcow2 1M",
    "create -f qcow2 -b missing.qcow2 -F qcow2 bad.qcow2",
    "!write -P 1 0 1M!base.qcow2", "!write -P 2 300k 5k!top.qcow2", "!write -z 2M 1M!top.qcow2",
    "!write -P 3 100k 9k!small.qcow2", "!write -P 4 1M 70000!v2.qcow2", "!write -P 5 500k 3000!ext.qcow2",
    "info base.qcow2", "info top.qcow2", "info --output=json small.qcow2", "info v2.qcow2", "info ext.qcow2", "info data.qcow2",
    "info --output=json r.raw", "info r.raw", "info --backing-chain top.qcow2", "info --output=json --backing-chain top.qcow2",
    "info nonexistent", "info --output=xml base.qcow2", "info", "nonsense", "",
    "map top.qcow2", "map --output=json top.qcow2", "map --output=json base.qcow2", "map --output=json v2.qcow2",
    "map --output=json -s 1M -l 3M top.qcow2",
    "check base.qcow2", "check top.qcow2", "check --output=json small.qcow2", "check v2.qcow2", "check ext.qcow2", "check r.raw",
    "check pre.qcow2",
    "convert -O raw top.qcow2 t.raw", "compare top.qcow2 t.raw", "compare -f raw -F qcow2 t.raw top.qcow2",
    "convert -f qcow2 -O qcow2 top.qcow2 flat.qcow2", "compare flat.qcow2 top.qcow2", "check flat.qcow2", "map flat.qcow2",
    "convert -c -O qcow2 top.qcow2 comp.qcow2", "check comp.qcow2", "compare comp.qcow2 t.raw",
    "convert -c -O qcow2 -o compression_type=zstd,cluster_size=8k top.qcow2 zst.qcow2", "check zst.qcow2",
    "convert -O qcow2 -B base.qcow2 -F qcow2 top.qcow2 diff.qcow2", "map diff.qcow2", "compare diff.qcow2 top.qcow2",
    "convert -O raw r.raw v2.qcow2 both.raw", "info both.raw", "convert -n -O raw r.raw both.raw", "compare -s r.raw both.raw",
    "convert -O raw missing.raw x.raw", "convert", "convert -O what r.raw x.raw", "convert -S 3 r.raw x.raw",
    "compare base.qcow2 top.qcow2", "compare base.qcow2 nonexistent",
    "snapshot -c one small.qcow2", "snapshot -c two small.qcow2", "!write -P 9 0 64k!small.qcow2", "snapshot -l small.qcow2",
    "info small.qcow2", "convert -l one -O raw small.qcow2 one.raw", "snapshot -a one small.qcow2", "compare small.qcow2 one.raw",
    "snapshot -d one small.qcow2", "snapshot -d one small.qcow2", "snapshot -a nothing small.qcow2", "check small.qcow2",
    "snapshot -l small.qcow2", "snapshot -c x r.raw",
    "resize base.qcow2 80M", "resize base.qcow2 +10M", "resize base.qcow2 -10M", "resize -q --shrink base.qcow2 70M", "info base.qcow2",
    "check base.qcow2", "resize -f raw r.raw 4M", "resize base.qcow2 0", "resize base.qcow2 huge",
    "rebase -u -b '' v2.qcow2", "create -f qcow2 -b base.qcow2 -F qcow2 o2.qcow2", "!write -P 7 1M 100k!o2.qcow2",
    "create -f qcow2 other.qcow2 70M", "!write -P 8 0 300k!other.qcow2", "convert -O raw o2.qcow2 o2.raw",
    "rebase -b other.qcow2 -F qcow2 o2.qcow2", "compare o2.qcow2 o2.raw", "info o2.qcow2", "check o2.qcow2",
    "rebase -b '' o2.qcow2", "compare o2.qcow2 o2.raw", "info o2.qcow2",
    "commit top.qcow2", "map top.qcow2", "compare base.qcow2 top.qcow2", "check base.qcow2", "commit flat.qcow2",
    "measure -O qcow2 top.qcow2", "measure --output=json -O qcow2 --size 10G", "measure -O raw --size 1G", "measure -O qcow2",
    "measure -O qcow2 -o cluster_size=512 --size 1G",
    "create -f qcow2 bm.qcow2 10M", "bitmap --add bm.qcow2 b0", "bitmap --add -g 128k bm.qcow2 b1", "bitmap --disable bm.qcow2 b1",
    "!write 1M 300k!bm.qcow2", "info bm.qcow2", "info --output=json bm.qcow2", "bitmap --add bm.qcow2 b0", "bitmap --remove bm.qcow2 zz",
    "bitmap --remove bm.qcow2 b0", "bitmap --clear bm.qcow2 b1", "check bm.qcow2", "info bm.qcow2", "bitmap --enable bm.qcow2 b1", "create -f raw z.raw 1M", "!write 0 500k!z.raw",
    "convert -n -O qcow2 z.raw bm.qcow2", "check bm.qcow2", "info bm.qcow2", "bitmap bm.qcow2 b1",
    "amend -f qcow2 -o compat=0.10 small.qcow2", "create -f qcow2 -o cluster_size=4k,refcount_bits=8 am.qcow2 10M", "!write 1M 300k!am.qcow2",
    "!write -z 2M 30k!am.qcow2", "amend -o refcount_bits=64 am.qcow2", "info am.qcow2", "check am.qcow2", "amend -o lazy_refcounts=on am.qcow2",
    "info am.qcow2", "amend -o compat=0.10,lazy_refcounts=off am.qcow2", "info am.qcow2", "amend -o compat=0.10,lazy_refcounts=off,refcount_bits=16 am.qcow2", "info am.qcow2", "check am.qcow2", "amend -o refcount_bits=1 am.qcow2",
    "amend -o compat=1.1,size=12M am.qcow2", "info am.qcow2", "check am.qcow2", "amend -o cluster_size=4k am.qcow2", "amend am.qcow2",
    "dd if=base.qcow2 of=dd.raw bs=64k count=3 skip=1", "info dd.raw", "dd if=base.qcow2",
]
MASK = [
    (r"disk size: .*", "disk size: X"), (r'"actual-size": \d+', '"actual-size": 0'), (r"Image end offset: \d+", "Image end offset: X"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"), (r"0x[0-9a-f]+ +(?=\S+$)", "PLACE "),
    (r"0\.00% allocated.*|\d+\.\d+% fragmented", "FRAGMENTED"), (r"(Run completed in) .*", r"\1 X"),
]
JSON_MASK = {"actual-size", "image-end-offset", "date-sec", "date-nsec", "offset", "fragmented-clusters"}


def norm_json(v):
    if isinstance(v, dict):
        return {k: norm_json(x) for k, x in sorted(v.items()) if k not in JSON_MASK}
    return [norm_json(x) for x in v] if isinstance(v, list) else v


def norm(out):
    try:
        return json.dumps(norm_json(json.loads(out)), indent=1)
    except ValueError:
        pass
    for pat, to in MASK:
        out = re.sub(pat, to, out, flags=re.M)
    return out


def run(tool, cwd, line):
    if line.startswith("!"):
        _, cmd, img = line.split("!")
        return subprocess.run(["qemu-io", "-c", cmd, img], cwd=cwd, capture_output=True, text=True)
    return subprocess.run(f"{tool} {line}", shell=True, cwd=cwd, capture_output=True, text=True)


def main():
    theirs = shutil.which("qemu-img")
    if not theirs or not shutil.which("qemu-io"):
        print("qemu-img and qemu-io (Debian: qemu-utils) are not installed")
        return 77
    bad = 0
    with tempfile.TemporaryDirectory(prefix="tandem-img-") as top:
        ours = os.path.join(top, "bin", "qemu-img")
        os.mkdir(os.path.dirname(ours))
        os.symlink(os.path.abspath(sys.argv[1]), ours)
        dirs = [os.path.join(top, d) for d in ("a", "b")]
        for d in dirs:
            os.mkdir(d)
        for line in SCRIPT:
            a, b = run(theirs, dirs[0], line), run(ours, dirs[1], line)
            one_line = not b.returncode or b.stderr.count("\n") <= (2 if "--help" in b.stderr else 1) or line.startswith("check")
            why = "exit codes %d and %d" % (a.returncode, b.returncode) if a.returncode != b.returncode else \
                  "output" if not line.startswith("!") and not (a.returncode and line.startswith("create")) and norm(a.stdout) != norm(b.stdout) else "" if one_line else "more than one line of error"
            if why:
                bad += 1
                print(f"--- qemu-img {line}: {why}\n< {a.stdout}{a.stderr}> {b.stdout}{b.stderr}")
    print(f"{len(SCRIPT)} commands, {bad} differ")
    return 1 if bad else 0


sys.exit(main())
