#!/bin/bash
# Makes one .deb and one .rpm from what is built already; `make packages` calls it with the names of all that in the
# environment. Nothing here needs a network, root, or cargo's help beyond telling the version.
set -euo pipefail

: "${BINARY:?}" "${MANUAL:?}" "${CONFIG:?}" "${DIST:?}" "${WORK:?}" "${VERSION_SUFFIX=}"

source_tree=$(cd "$(dirname "$0")/.." && pwd)
cd "$source_tree"

for piece in "$BINARY" "$MANUAL/man" "$MANUAL/completions" "$CONFIG"; do
    if [ ! -e "$piece" ]; then
        echo "packaging: there is no $piece. Run 'make packages', which builds it, or name another one." >&2
        exit 1
    fi
done

# Cargo.toml holds the version. The change log has to have an entry for it, for people read that first.
version=$(cargo pkgid --offline --package runtime-agent | sed 's/.*[#@]//')
# Both package managers sort a tilde before everything, as semantic versioning does the hyphen of a pre-release.
version=${version/-/\~}
logged=$(sed -n '1s/^runtime-agent (\([^)]*\)).*/\1/p' packaging/debian/changelog)
if [ "$logged" != "$version" ]; then
    echo "packaging: Cargo.toml says version $version, but the first entry of packaging/debian/changelog is for" \
        "$logged. Write an entry for $version." >&2
    exit 1
fi
version=$version$VERSION_SUFFIX

# Every time in the packages is that of the last commit, so that the same commit makes the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date -d "$(sed -n '/^ -- /{s/.*>  //p;q}' packaging/debian/changelog)" +%s)}

# Packages come out the same whoever makes them, and however make was called.
umask 022
unset MAKEFLAGS MAKELEVEL MFLAGS
export version SOURCE_DATE_EPOCH source_tree BINARY MANUAL CONFIG DIST WORK

mkdir -p "$DIST" "$WORK"

# The change log of both packages. A build for tests has an entry more.
changelog=$WORK/changelog
{
    if [ -n "$VERSION_SUFFIX" ]; then
        author=$(sed -n '/^ -- /{s/^ -- \(.*>\)  .*/\1/p;q}' packaging/debian/changelog)
        printf 'runtime-agent (%s) unstable; urgency=medium\n\n  * A build for tests.\n\n' "$version"
        printf ' -- %s  %s\n\n' "$author" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
    fi
    cat packaging/debian/changelog
} >"$changelog"
export changelog

packaging/debian.sh
packaging/rpm.sh
ls -l "$DIST"
