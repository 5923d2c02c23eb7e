#!/usr/bin/env bash
# Undefined behaviour: everything that does not need the operating system, then what may differ on
# a 32-bit and on a big-endian machine.
source "$(dirname "$0")/lib.sh"
if ! has_nightly miri rust-src; then
    note "miri: skipped, there is no nightly with miri and rust-src"
    exit 0
fi
export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-disable-isolation" PROPTEST_CASES=4
miri() { cargo +nightly miri test -p pool-core "$@"; }

miri --lib --tests
MIRIFLAGS+=" -Zmiri-tree-borrows" miri --lib
for target in i686-unknown-linux-gnu s390x-unknown-linux-gnu; do
    echo "on $target"
    miri --target "$target" --lib
    miri --target "$target" --test buddy --test budget --test failing
done
