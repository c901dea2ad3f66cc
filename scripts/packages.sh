#!/bin/bash
# usage: scripts/packages.sh list SECTION...      the packages of these sections of scripts/packages
#        scripts/packages.sh install SECTION...   install what is missing (root, Debian), quietly
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")

list()
{
    awk -v want=" $* " '{ sub(/#.*/, "") } /^\[/ { gsub(/[][ ]/, ""); on = index(want, " " $0 " "); next } on && NF { print $1 }' \
        "$here/packages"
}

missing()
{
    local p
    for p in $(list "$@"); do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null)" = "ii " ] || echo "$p"
    done
}

install()
{
    local need
    need=$(missing "$@" | tr '\n' ' ')
    [ -n "$need" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "packages: not root; install these and run again: apt-get install $need" >&2
        return 1
    fi
    echo "packages: installing $(wc -w <<<"$need") missing: $need"
    export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
    apt-get -qq update
    # shellcheck disable=SC2086 # one word a package
    apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install $need >/dev/null
}

case "${1:-}" in
list|install) "$@" ;;
*) sed -n '2,3s/^# //p' "$0" >&2; exit 2 ;;
esac
