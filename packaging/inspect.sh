#!/bin/bash
# Looks the packages over without installing them: Debian's by lintian, where a warning counts as an error, and RPM's
# by what it holds and would run, for there is no lintian for it here.
set -euo pipefail

dist=${1:?usage: inspect.sh DIRECTORY}
deb=$(echo "$dist"/runtime-agent_*.deb)
rpm=$(echo "$dist"/runtime-agent-*.rpm)

for package in "$deb" "$rpm"; do
    if [ ! -f "$package" ]; then
        echo "inspect.sh: expected exactly one .deb and one .rpm in $dist, found: $(ls "$dist")" >&2
        exit 1
    fi
done

fail() {
    echo "inspect.sh: $*" >&2
    exit 1
}

lintian --fail-on error,warning --allow-root "$deb"

# Both hold the same files, but for those that only one of them has by its distribution's rules.
files_of_deb() {
    dpkg-deb --fsys-tarfile "$deb" | tar -t | sed 's|^\.||; s|^/lib/systemd|/usr/lib/systemd|; s|/vendor-completions/_|/site-functions/_|' |
        grep -v -E '/$|/(copyright|changelog.*)$|/lintian/overrides/'
}
files_of_rpm() {
    rpm -qp --queryformat '[%{FILEMODES:perms} %{FILENAMES}\n]' "$rpm" | sed -n 's/^-[^ ]* //p' |
        grep -v -E '/LICENSE$|\.preset$'
}
diff <(files_of_deb | sort) <(files_of_rpm | sort) || fail "the .deb (<) and the .rpm (>) hold different files."

rpm -qp --configfiles "$rpm" | grep -qx /etc/runtime-agent/agent.toml || fail "the .rpm would overwrite agent.toml."
dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./conffiles | grep -qx /etc/runtime-agent/agent.toml ||
    fail "the .deb would overwrite agent.toml."

# Everything in a package is root's, and nothing in it may be changed by others or runs with their rights.
rpm -qp --queryformat '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]' "$rpm" |
    awk '$2 != "root:root" || $1 ~ /^.....w|^........w|s|t/ { print; bad = 1 } END { exit bad }' ||
    fail "the .rpm holds files with an unwanted owner or mode."
dpkg-deb --contents "$deb" |
    awk '$2 != "root/root" || $1 ~ /^[^l]....w|^[^l].......w|s|t/ { print; bad = 1 } END { exit bad }' ||
    fail "the .deb holds files with an unwanted owner or mode."

# The scripts of the .rpm are plain shell; what a missing macro left behind would only be found on a host.
if rpm -qp --scripts "$rpm" | grep '%'; then
    fail "a macro is left in the scripts of the .rpm."
fi
rpm -qp --queryformat '%{PREIN}\n%{POSTIN}\n%{PREUN}\n%{POSTUN}\n' "$rpm" | sh -n || fail "a script of the .rpm is not sound."

echo "inspect.sh: ${deb##*/} and ${rpm##*/} are in order."
