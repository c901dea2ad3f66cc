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
    # bitmaps: all actions, between granularities and images, wrong ones
    "create -f qcow2 m.qcow2 8M", "bitmap --add -g 64k m.qcow2 a", "!write 1M 100k!m.qcow2", "bitmap --disable m.qcow2 a", "bitmap --add -g 4k m.qcow2 b",
    "!write 3M 5k!m.qcow2", "bitmap --merge a m.qcow2 b", "info m.qcow2", "check m.qcow2", "bitmap --merge nothing m.qcow2 b", "bitmap --merge a m.qcow2 nothing",
    "create -f qcow2 m2.qcow2 8M", "bitmap --add --enable m2.qcow2 c", "bitmap --merge b -b m.qcow2 -F qcow2 m2.qcow2 c", "bitmap --add --disable --merge b -b m.qcow2 m2.qcow2 d",
    "info m2.qcow2", "check m2.qcow2", "bitmap -g 64k --clear m2.qcow2 c", "bitmap -b m.qcow2 --clear m2.qcow2 c", "bitmap -F qcow2 --clear m2.qcow2 c",
    "bitmap -b gone --merge b m2.qcow2 c", "bitmap --merge b -b r.raw -F raw m2.qcow2 c", "bitmap --merge b -b bm.qcow2 m2.qcow2 c", "bitmap --add -g 3k m2.qcow2 e",
    "bitmap --add r.raw x", "bitmap --add m2.qcow2", "bitmap --frob m2.qcow2 x", "bitmap --add v2.qcow2 x",
    "convert --bitmaps -O qcow2 m.qcow2 m3.qcow2", "info m3.qcow2", "check m3.qcow2", "compare m.qcow2 m3.qcow2", "convert --bitmaps -O raw m.qcow2 m4.raw",
    "convert --skip-broken-bitmaps -O qcow2 m.qcow2 m5.qcow2", "convert --bitmaps -O qcow2 m.qcow2 m2.qcow2 m6.qcow2", "measure -O qcow2 m.qcow2",
    "convert --bitmaps -O qcow2 r.raw m7.qcow2",
    # a compressed cluster that cannot be read
    "create -f qcow2 sv.qcow2 1M", "!write -c -P 5 0 64k!sv.qcow2", "!write -P 6 128k 64k!sv.qcow2", "$printf 'xxxxxxxxxxxxxxxx' | dd of=sv.qcow2 bs=1 seek=327680 conv=notrunc status=none",
    "convert -O raw sv.qcow2 sv.raw", "convert --salvage -q -O raw sv.qcow2 sv.raw", "compare sv.raw sv.qcow2", "info sv.raw",
    # data files: another name, raw or not
    "create -f raw d2.raw 2M", "amend -o data_file=d2.raw data.qcow2", "info data.qcow2", "amend -o data_file=d.raw data.qcow2", "amend -o data_file_raw=off data.qcow2", "info data.qcow2",
    "amend -o data_file_raw=on data.qcow2", "amend -o data_file=x base.qcow2", "amend -o data_file_raw=maybe data.qcow2", "check data.qcow2",
    # names by options and in JSON
    "info --image-opts driver=qcow2,file.filename=base.qcow2", "info --image-opts driver=qcow2,file.driver=file,file.filename=base.qcow2", "info --image-opts base.qcow2",
    "info --image-opts filename=base.qcow2", "info --image-opts driver=qcow2,file=base.qcow2", "info --image-opts driver=qcow2,file.filename=base.qcow2,frob=1",
    "info --image-opts -f qcow2 driver=qcow2,file.filename=base.qcow2", "info 'json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"base.qcow2\"}}'",
    "info 'json:{\"file.filename\":\"base.qcow2\"}'", "info 'json:{'", "info 'json:{}'", "info 'json:{\"driver\":\"raw\",\"file.filename\":\"base.qcow2\",\"x\":2}'",
    "convert -O raw 'json:{\"driver\":\"raw\",\"offset\":65536,\"size\":131072,\"file.filename\":\"base.qcow2\"}' part.raw", "info part.raw",
    "convert --image-opts --target-image-opts -n -O raw driver=raw,file.filename=r.raw driver=raw,file.filename=both.raw", "compare --image-opts driver=raw,file.filename=r.raw driver=raw,file.filename=both.raw",
    "map --image-opts driver=qcow2,file.filename=base.qcow2", "check --image-opts driver=qcow2,file.filename=base.qcow2", "snapshot -l --image-opts driver=qcow2,file.filename=small.qcow2",
    "rebase --image-opts -u -b '' driver=qcow2,file.filename=o2.qcow2", "resize --image-opts driver=raw,file.filename=part.raw +1M", "commit --image-opts driver=qcow2,file.filename=top.qcow2",
    "bench --image-opts -c 1 driver=qcow2,file.filename=base.qcow2 >/dev/null", "measure --image-opts -O raw driver=qcow2,file.filename=base.qcow2", "dd --image-opts if=driver=qcow2,file.filename=base.qcow2 of=dd2.raw bs=1M count=2",
    # options that contradict, or miss something
    "convert --target-is-zero -O raw r.raw x.raw", "convert --target-is-zero -n -O raw r.raw both.raw", "convert -m 0 -O raw r.raw x.raw", "convert -m 17 -O raw r.raw x.raw",
    "convert -m 2 -W -O raw r.raw x.raw", "convert -c -O raw r.raw x.raw", "convert -l nothing -O raw small.qcow2 x.raw", "convert -l snapshot.name=two -O raw small.qcow2 x.raw",
    "convert -l snapshot.id=2 -O raw small.qcow2 x.raw", "convert -r 1M -O raw r.raw x.raw", "convert -r fast -O raw r.raw x.raw", "convert -S 1M -O raw r.raw x.raw", "convert -S 0 -O raw r.raw x.raw",
    "convert -B base.qcow2 -O qcow2 top.qcow2 x.qcow2", "convert -B gone -F qcow2 -O qcow2 top.qcow2 x.qcow2", "convert -B base.qcow2 -F qcow2 -O raw top.qcow2 x.raw",
    "convert -t none2 -O raw r.raw x.raw", "convert -T bad -O raw r.raw x.raw", "convert -o size=1M -O qcow2 r.raw x.qcow2", "info x.qcow2", "convert -o size=9M -O qcow2 r.raw x.qcow2", "info x.qcow2", "convert -o nonsense=1 -O qcow2 r.raw x.qcow2",
    "convert -n -O raw r.raw gone.raw", "convert -n -O raw base.qcow2 r.raw", "convert -O qcow2 r.raw /nonexistent/x", "convert -O raw r.raw",
    "check -r some base.qcow2", "check gone", "check", "check -f raw base.qcow2", "check --output=json r.raw", "check -r all base.qcow2", "check -r leaks top.qcow2", "check -f qcow2 r.raw",
    "commit r.raw", "commit -b gone top.qcow2", "commit -d top.qcow2", "commit -b base.qcow2 top.qcow2", "commit -r 10M top.qcow2", "commit",
    "compare r.raw", "compare -f qcow2 r.raw base.qcow2", "compare -s base.qcow2 top.qcow2", "compare -q r.raw both.raw", "compare -p r.raw r.raw >/dev/null",
    "create", "create -f raw z2.raw", "create -f qcow2 -o preallocation=bad z.qcow2 1M", "create -f qcow2 -o preallocation=falloc fal.qcow2 1M", "check fal.qcow2", "create -f qcow2 -o preallocation=full ful.qcow2 1M",
    "map --output=json ful.qcow2", "create -f qcow2 -o compression_type=lzma z.qcow2 1M", "create -f qcow2 -o refcount_bits=3 z.qcow2 1M", "create -f qcow2 -o cluster_size=4M z.qcow2 1M",
    "create -f qcow2 -o data_file_raw=on z.qcow2 1M", "create -f qcow2 -o data_file=zd.raw,compat=0.10 z.qcow2 1M", "create -f qcow2 -o lazy_refcounts=on,compat=0.10 z.qcow2 1M",
    "create -f qcow2 -o extended_l2=on,compat=0.10 z.qcow2 1M", "create -f qcow2 -o compression_type=zstd,compat=0.10 z.qcow2 1M", "create -f qcow2 -o lazy_refcounts=perhaps z.qcow2 1M",
    "create -f qcow2 -b base.qcow2 z.qcow2", "create -f qcow2 -F qcow2 z.qcow2 1M", "create -u -f qcow2 -b gone -F raw unsafe.qcow2 1M", "info unsafe.qcow2", "create -u -f qcow2 -b gone -F raw z.qcow2",
    "create -f qcow2 -b z3.qcow2 -F qcow2 z3.qcow2 1M", "create -f qcow2 -b base.qcow2 -F raw wrongfmt.qcow2", "create -f qcow2 big.qcow2 9E", "create -f raw -b base.qcow2 -F qcow2 z.raw 1M",
    "create -f qcow2 one.qcow2 1M extra", "create -f qcow2 odd.qcow2 1000", "info odd.qcow2", "create -f raw odd.raw 1000", "info odd.raw", "create -q -f qcow2 quiet.qcow2 1M",
    "create -f raw -o preallocation=full ful.raw 100k", "create -f raw -o preallocation=metadata z.raw 1M", "create -f vmdk2 z 1M",
    "dd if=base.qcow2 of=dd3.raw bs=0", "dd if=base.qcow2 of=dd3.raw bs=64k skip=99999", "info dd3.raw", "dd if=base.qcow2 of=dd3.raw frob=1", "dd if=gone of=x", "dd -O qcow2 if=r.raw of=dd4.qcow2 bs=1M", "info dd4.qcow2",
    "info --backing-chain unsafe.qcow2", "info -f raw base.qcow2", "info -f qcow2 r.raw", "info -f frob r.raw", "info base.qcow2 r.raw", "info --output=json data.qcow2", "info --output=json ext.qcow2", "info --output=json comp.qcow2",
    "map gone", "map", "map comp.qcow2", "map --output=json comp.qcow2", "map --output=json ext.qcow2", "map --output=json data.qcow2", "map -s 99G base.qcow2", "map -l 1M base.qcow2", "map -s bad base.qcow2",
    "map --output=json pre.qcow2", "map pre.qcow2", "map --output=xml pre.qcow2",
    "measure", "measure --size 1M base.qcow2", "measure --size huge", "measure -O vdi2 --size 1M", "measure -O raw base.qcow2", "measure -O qcow2 -o extended_l2=on --size 3G", "measure -O qcow2 -o refcount_bits=64 --size 3T",
    "measure -O qcow2 -o preallocation=full base.qcow2", "measure -O qcow2 -o frob=1 --size 1M", "measure -O qcow2 -l two small.qcow2", "measure --output=json -O qcow2 base.qcow2", "measure -O qcow2 --size 0",
    "rebase base.qcow2", "rebase -b gone -F qcow2 o2.qcow2", "rebase -u -b gone -F qcow2 o2.qcow2", "info o2.qcow2", "rebase -u -b gone o2.qcow2", "rebase -b base.qcow2 -F frob o2.qcow2", "rebase -u -b '' o2.qcow2", "rebase -b base.qcow2 -F qcow2 r.raw",
    "resize", "resize r.raw", "resize -f raw r.raw +0", "resize -f raw r.raw 1", "resize --preallocation=full -f raw r.raw +64k", "resize --preallocation=bad r.raw +1M", "resize --preallocation=metadata pre.qcow2 +1M", "check pre.qcow2",
    "resize --preallocation=falloc pre.qcow2 +1M", "resize --preallocation=full --shrink pre.qcow2 -1M", "resize gone 1M", "resize ext.qcow2 9M", "check ext.qcow2", "resize --shrink ext.qcow2 1M", "check ext.qcow2", "resize data.qcow2 +1M", "check data.qcow2", "resize m.qcow2 +1M", "info m.qcow2", "check m.qcow2", "resize --shrink m.qcow2 3M", "check m.qcow2", "!write 2M 9k!m.qcow2", "check m.qcow2", "info m.qcow2",
    "snapshot", "snapshot -l", "snapshot -c", "snapshot small.qcow2", "snapshot -l r.raw", "snapshot -c s data.qcow2", "snapshot -d gone small.qcow2", "snapshot -a two -l small.qcow2", "snapshot -c two small.qcow2", "snapshot -d two small.qcow2", "snapshot -a two small.qcow2", "check small.qcow2",
    "create -f qcow2 -o refcount_bits=1 rb1.qcow2 1M", "check rb1.qcow2",
    "amend -o frob=1 base.qcow2", "amend -o compat=2.0 base.qcow2", "amend -o size=bad base.qcow2", "amend gone -o compat=1.1", "amend -o lazy_refcounts=on r.raw", "amend -o compression_type=zstd base.qcow2", "amend -o preallocation=full base.qcow2",
    "amend -f qcow2 -o backing_file=other.qcow2,backing_fmt=qcow2 top.qcow2", "info top.qcow2", "amend -q -o refcount_bits=2 other.qcow2", "check other.qcow2",
    "bench -c 0 base.qcow2", "bench -c x base.qcow2", "bench -s 0 base.qcow2", "bench -c 4 -i nothing base.qcow2", "bench gone", "bench --pattern=256 -w -c 1 base.qcow2", "bench -c 3 -s 1k -S 4k -o 8k base.qcow2", "bench -w -c 3 --flush-interval=2 base.qcow2", "bench -w -c 3 --no-drain base.qcow2", "bench --flush-interval=2 -c 3 base.qcow2",
    # seen in a second comparison
    "create -f qcow2 c1.qcow2 64M", "!write -P 3 0 3M!c1.qcow2", "!write -P 4 10M 64k!c1.qcow2", "create -f qcow2 -b c1.qcow2 -F qcow2 c2.qcow2", "!write -P 5 2M 2M!c2.qcow2",
    "create -f qcow2 -b c2.qcow2 -F qcow2 c3.qcow2 80M", "!write -P 6 70M 64k!c3.qcow2", "map --output=json c3.qcow2", "compare r.raw c1.qcow2", "check -r leaks -U c3.qcow2",
    "convert -c -C -O qcow2 r.raw x.qcow2", "convert -C -S 4k -O raw r.raw x.raw", "convert -C -O raw r.raw x.raw", "convert -O raw -S 2M c1.qcow2 s2.raw", "map --output=json -f raw s2.raw",
    "measure -O qcow2 -o compat=0.10 c3.qcow2", "measure -O qcow2 -o backing_file=c1.qcow2 c3.qcow2", "snapshot -c tag c1.qcow2", "convert -l snapshot.id=1,snapshot.name=tag -O raw c1.qcow2 x.raw",
    "convert -l snapshot.id=1,snapshot.name=other -O raw c1.qcow2 x.raw", "convert -l snapshot.frob=1 -O raw c1.qcow2 x.raw", "measure -l snapshot.id=1 -O raw c1.qcow2", "measure -l snapshot.id=7 -O raw c1.qcow2",
    "create -f qcow2 -b 'json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"c1.qcow2\"}}' -F qcow2 c4.qcow2", "info c4.qcow2", "info --help >/dev/null", "convert -h >/dev/null",
    # files that end within a sector
    "$yes | head -c 1000000 > odd.img", "info odd.img", "info --output=json odd.img", "map --output=json -f raw odd.img", "convert -f raw -O qcow2 odd.img oddc.qcow2", "compare -f raw -F qcow2 odd.img oddc.qcow2",
    "create -f qcow2 -b odd.img -F raw oddt.qcow2", "info oddt.qcow2", "!write -P 7 1000000 400!oddt.qcow2", "map --output=json oddt.qcow2", "commit oddt.qcow2", "compare -f raw odd.img oddt.qcow2", "$od -j 999990 odd.img",
    "resize -f raw odd.img +1M", "info odd.img", "$: > none.img", "info none.img", "measure -O raw none.img",
    # encrypted images are refused, whatever says that they are; as raw disks they are what they are
    "$(printf 'LUKS\\272\\276\\0\\1'; head -c 100000 /dev/zero) > luks.img", "convert -O qcow2 luks.img x.qcow2", "convert -f raw -O qcow2 luks.img luks.qcow2", "compare -f raw luks.img luks.qcow2",
    "create -f qcow2 -b luks.img -F raw luks2.qcow2",
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
    if line.startswith("$"):
        return subprocess.run(line[1:], shell=True, cwd=cwd, capture_output=True, text=True)
    if line.startswith("!"):
        _, cmd, img = line.split("!")
        return subprocess.run(["qemu-io", "-c", cmd, img], cwd=cwd, capture_output=True, text=True)
    return subprocess.run(f"timeout 100 {tool} {line}", shell=True, cwd=cwd, capture_output=True, text=True)


def main():
    theirs = shutil.which("qemu-img")
    if not theirs or not shutil.which("qemu-io"):
        print("qemu-img and qemu-io (Debian: qemu-utils) are not installed")
        return 77
    bad = 0
    with tempfile.TemporaryDirectory(prefix="tandem-img-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as top:
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
