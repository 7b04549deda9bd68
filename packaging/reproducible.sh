#!/bin/bash
# Builds the packages of the last commit twice, from nothing, in two folders of different names, and compares them byte
# by byte; `make reproducible` calls it. Takes two release builds, so it is not a part of `make test`.
set -euo pipefail

work=${1:?usage: reproducible.sh FOLDER}
source_tree=$(cd "$(dirname "$0")/.." && pwd)
commit=$(git -C "$source_tree" rev-parse HEAD)

rm -rf "$work"
mkdir -p "$work"
for name in one another-place; do
    git clone --quiet --no-local "$source_tree" "$work/$name"
    git -C "$work/$name" checkout --quiet --detach "$commit"
    env --unset=CARGO_TARGET_DIR make --no-print-directory -C "$work/$name" packages >"$work/$name.log" 2>&1 || {
        tail -n 30 "$work/$name.log" >&2
        echo "reproducible.sh: the build in $work/$name failed." >&2
        exit 1
    }
    (cd "$work/$name/dist" && find . -type f -exec sha256sum {} + | sort -k 2) >"$work/$name.sums"
    # What was built is not needed any more, and is large.
    rm -rf "$work/$name/target"
done

cat "$work/one.sums"
if ! diff "$work/one.sums" "$work/another-place.sums"; then
    echo "reproducible.sh: two builds of $commit differ; they lie below $work." >&2
    exit 1
fi
echo "reproducible.sh: two builds of $commit made the same packages, byte by byte."
