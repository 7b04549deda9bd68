#!/bin/bash
# Makes the .deb; called by build.sh. debhelper wants ./debian at the top of a tree, so a tree is made that is nothing
# else, and `make install` fills the package from the real one.
set -euo pipefail

tree=$WORK/deb/runtime-agent-$version
rm -rf "$WORK/deb"
mkdir -p "$tree"
cp -r packaging/debian "$tree/debian"
cp "$changelog" "$tree/debian/changelog"

export SOURCE=$source_tree INSTALL_FLAGS="BINARY=$BINARY MANUAL=$MANUAL CONFIG=$CONFIG"
(cd "$tree" && dpkg-buildpackage --build=binary --no-sign)

# Debug symbols are a package of their own that nobody needs on a host, and so they lie apart.
rm -f "$DIST"/runtime-agent_*.deb "$DIST"/debug/runtime-agent-dbgsym_*.deb
for package in "$WORK"/deb/runtime-agent-dbgsym_*.deb; do
    if [ -e "$package" ]; then
        mkdir -p "$DIST/debug"
        mv "$package" "$DIST/debug/"
    fi
done
mv "$WORK"/deb/runtime-agent_*.deb "$DIST/"
