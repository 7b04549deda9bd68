#!/bin/bash
# Makes the .rpm; called by build.sh. The change log is written once, in Debian's form, and turned into RPM's here.
set -euo pipefail

rm -rf "$WORK/rpm"
mkdir -p "$WORK/rpm"
spec=$WORK/rpm/runtime-agent.spec

rpm_changelog() {
    awk '
        /^runtime-agent \(/ { version = substr($2, 2, length($2) - 2); text = "" }
        /^  \* /            { text = text "- " substr($0, 5) "\n" }
        /^    /             { text = text "  " substr($0, 5) "\n" }
        /^ -- /             {
            split($0, part, "  "); sub(/^ -- /, "", part[1])
            split(part[2], date, /[ ,]+/)
            printf "* %s %s %s %s %s - %s-1\n%s\n", date[1], date[3], date[2], date[4], part[1], version, text
        }' "$changelog" | sed 's/%/%%/g'
}

{
    cat packaging/rpm/runtime-agent.spec
    printf '\n%%changelog\n'
    rpm_changelog
} >"$spec"

# Build requirements are looked up among installed RPM packages, of which Debian has none: hence --nodeps.
rpmbuild -bb --nodeps --quiet \
    --define "_topdir $WORK/rpm" \
    --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
    --define "agent_version $version" \
    --define "source_tree $source_tree" \
    --define "install_flags BINARY=$BINARY MANUAL=$MANUAL CONFIG=$CONFIG" \
    "$spec"

# Debug symbols are a package of their own that nobody needs on a host, and so they lie apart.
rm -f "$DIST"/runtime-agent-*.rpm "$DIST"/debug/runtime-agent-*.rpm
mkdir -p "$DIST/debug"
mv "$WORK"/rpm/RPMS/runtime-agent-debuginfo-*.rpm "$DIST/debug/"
mv "$WORK"/rpm/RPMS/runtime-agent-*.rpm "$DIST/"
