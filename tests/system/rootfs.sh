#!/bin/bash
# Makes the root file system that the system tests boot, unless it is there already, and prints where it is.
#
# Every test boots it with a volatile overlay, so it is made once and never written to again. It lies outside the
# source tree because it is large, holds files of root, and outlives `make clean`.
set -euo pipefail

# Debian 12 is the oldest systemd (252) that the units promise to work with.
suite=bookworm

# Beside a minimal system with systemd: what the agent's packages depend on, the tools of the rpm tests, a web server with
# its client, which hooks reload and ask, and what provisions hosts (debootstrap does not know what provides something).
packages=systemd,systemd-sysv,dbus,ca-certificates,procps,rpm,nginx-light,curl,cloud-init,ansible-core,python3-apt,python3-cffi-backend

root=${RUNTIME_AGENT_ROOTFS:-${XDG_CACHE_HOME:-/var/cache}/runtime-agent-tests/rootfs}

# A file system made by another version of this script is made again.
recipe=$(sha256sum <"$0" | cut -d' ' -f1)
stamp=$root/.recipe

is_current() {
    # A directory that the operator names is taken as it is, so that other systems can be tried.
    if [ -n "${RUNTIME_AGENT_ROOTFS:-}" ] && [ -x "$root/lib/systemd/systemd" ]; then return 0; fi
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$recipe" ]
}

if is_current; then
    echo "$root"
    exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
    echo "rootfs.sh: cannot make $root: only root can make a root file system. Run the system tests as root." >&2
    exit 1
fi

# Several test runs may start at once: one makes it, the others wait and find it made.
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9
if is_current; then
    echo "$root"
    exit 0
fi

# The mirror and the proxy that this machine's own apt uses are those that can be reached from here. apt only knows them
# once it has fetched its lists. Without any, debootstrap has its own default.
mirrors() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian'; }
if [ -z "$(mirrors)" ]; then apt-get update --quiet >&2; fi
mirror=$(mirrors | head -n 1)
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}"

# Made beside its place and renamed into it: a run that is killed half-way leaves nothing that looks finished.
work=$root.new
rm -rf --one-file-system "$work"
echo "rootfs.sh: making $root with debootstrap, which takes about two minutes" >&2
if ! debootstrap --variant=minbase --include="$packages" "$suite" "$work" ${mirror:+"$mirror"} >"$root.log" 2>&1; then
    tail -n 20 "$root.log" >&2
    echo "rootfs.sh: debootstrap failed; its whole output is in $root.log. Mend the cause and run the tests again." >&2
    exit 1
fi

# Containers share the machine's network: a web server that started by itself would take port 80 from the others.
# Nor shall a test run meet the daily search for updates.
systemctl --root="$work" --quiet disable nginx.service apt-daily.timer apt-daily-upgrade.timer
# Only the host that is provisioned by it needs cloud-init, and its network is this machine's.
touch "$work/etc/cloud/cloud-init.disabled"
echo 'network: {config: disabled}' >"$work/etc/cloud/cloud.cfg.d/99-network.cfg"

# What debootstrap copied from this machine, and what it left out because an installer writes it.
echo localhost >"$work/etc/hostname"
echo '127.0.0.1 localhost' >"$work/etc/hosts"
rm -rf "$work/var/cache/apt/archives/"*.deb "$work/var/lib/apt/lists/"*


echo "$recipe" >"$work/.recipe"
rm -rf --one-file-system "$root"
mv "$work" "$root"
rm -f "$root.log"
echo "$root"
