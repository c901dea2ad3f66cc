#!/bin/bash
# usage: debian.sh TANDEM-USER [DIR]: an arm64 Debian in a folder, all of whose programs run under tandem-user. Its packages (scripts/make-sysroot into DIR)
# are unpacked and configured by its own dpkg, then its apt installs further ones from a repository of files. The kernel starts the programs: binfmt_misc, as
# tandem-user -register tells it, in a user namespace of our own (Linux 6.7), where this system does not hear of it; in the chroot there is no tandem-user,
# which flag F is for. 77 (skipped): not root, apt cannot be asked, or the kernel has no such namespace.
set -u
if [ "${1:-}" = inside ]; then # USER ROOT DEBS: in the namespaces
    user=$2 root=$3
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null || exit 77
    "$user" -register || exit 1
    cat /proc/sys/fs/binfmt_misc/tandem-aarch64
    mkdir -p "$root/debs" && mount --bind "$4" "$root/debs" && mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 77
    exec chroot "$root" /bin/sh /steps
fi
here=$(dirname "$(readlink -f "$0")")
user=$(realpath "$1") out=$(realpath -m "${2:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem/debian/arm64}")
base="gcc-12-base libc6 libgcc-s1 libcrypt1 base-passwd base-files libacl1 libattr1 libselinux1 libpcre2-8-0 libgmp10 coreutils zlib1g libbz2-1.0 liblzma5 libzstd1
    libmd0 tar dpkg perl-base debianutils dash bash libtinfo6 mawk sed grep gzip findutils diffutils libc-bin debconf hostname libdebconfclient0"
more="apt bc jq"
[ "$(id -u)" = 0 ] || { echo "not root: skipped"; exit 77; }
command -v dpkg-scanpackages >/dev/null || { echo "no dpkg-scanpackages: skipped"; exit 77; }
"$here/../../scripts/make-sysroot" arm64 "$out" $base $more || { echo "no packages: skipped"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cp -a "$out/root" "$dir/root"
cp "$user" "$dir/tandem-user"
(cd "$out/download" && dpkg-scanpackages . 2>/dev/null >"$dir/Packages" && mkdir "$dir/debs" && cp ./*.deb "$dir/Packages" "$dir/debs")
find "$dir/root/usr/bin" "$dir/root/bin" -name 'jq' -o -name 'bc' | xargs rm -f

cat >"$dir/root/steps" <<E
export DEBIAN_FRONTEND=noninteractive LC_ALL=C HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
uname -m
touch /var/lib/dpkg/status /var/lib/dpkg/available
[ -e /usr/bin/awk ] || ln -s mawk /usr/bin/awk
echo 'root:x:0:0:root:/root:/bin/bash' >/etc/passwd
printf '%s\n' root:x:0: mail:x:8: adm:x:4: tty:x:5: man:x:12: shadow:x:42: utmp:x:43: staff:x:50: >/etc/group
files=; for p in $(echo $base); do files="\$files \$(ls /debs/\${p}_*.deb | head -1)"; done
dpkg --force-depends --unpack \$files >/tmp/log 2>&1 || cat /tmp/log; echo "unpacked \$?"
dpkg --configure -a >/tmp/log 2>&1 || cat /tmp/log; echo "configured \$?"
dpkg-query -W -f '\${db:Status-Abbrev}\n' | sort | uniq -c | sed 's/^ *//; s/ *$//'
dpkg --audit
files=; for p in \$(ls /debs | sed 's/_.*//' | grep -E '^(apt|lib(apt-pkg|stdc|lz4|xxhash|gcrypt|gpg-error|udev|gnutls|p11|idn2|unistring|tasn1|nettle|hogweed|ffi|seccomp|systemd|cap).*|gpgv|adduser|passwd|debian-archive-keyring|lib(db5.3|pam.*|audit.*|semanage.*|sepol2))\$'); do files="\$files \$(ls /debs/\${p}_*.deb | head -1)"; done
dpkg --force-depends --install \$files >/tmp/log 2>&1 || cat /tmp/log; echo "installed \$?"
echo 'deb [trusted=yes] file:/debs ./' >/etc/apt/sources.list
apt-get -o APT::Sandbox::User=root update >/tmp/log 2>&1 || cat /tmp/log; echo "updated \$?"
apt-get -y --no-install-recommends install jq bc >/tmp/log 2>&1 || cat /tmp/log; echo "installed \$?"
echo '{"a":[1,2]}' | jq -c .a; echo '2^100' | bc
apt-get -y remove bc >/tmp/log 2>&1 || cat /tmp/log; echo "removed \$?"
apt-get check >/dev/null; echo "checked \$?"
E

rm -f "$dir/go"; mkfifo "$dir/go"
unshare --user --mount bash -c 'read -r x <"$1/go"; exec bash "$2" inside "$1/tandem-user" "$1/root" "$1/debs"' - "$dir" "$here/debian.sh" >"$dir/got" 2>&1 </dev/null &
child=$!
for i in $(seq 100); do [ "$(readlink /proc/$child/ns/user)" = "$(readlink /proc/self/ns/user)" ] && sleep 0.1 || break; done
{ echo '0 0 65536' >/proc/$child/uid_map && echo '0 0 65536' >/proc/$child/gid_map; } 2>/dev/null || { kill -KILL $child; echo "no user namespaces: skipped"; exit 77; }
echo go >"$dir/go"
wait $child || { s=$?; [ $s = 77 ] && echo "no binfmt_misc in a namespace: skipped"; cat "$dir/got"; exit $s; }
cat >"$dir/want" <<E
aarch64 programs now start with $dir/tandem-user
riscv64 programs now start with $dir/tandem-user
enabled
interpreter $dir/tandem-user
flags: PF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
aarch64
unpacked 0
configured 0
$(echo $base | wc -w) ii
installed 0
updated 0
installed 0
[1,2]
1267650600228229401496703205376
removed 0
checked 0
E
diff "$dir/want" "$dir/got" && echo "ok: an arm64 Debian"
