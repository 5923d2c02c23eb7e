#!/usr/bin/env bash
# Undefined behaviour: everything that does not need the operating system, then what may differ on
# a 32-bit and on a big-endian machine. Arithmetic that forbids unsafe code takes longest
# and can have none, so it runs on those two only.
source "$(dirname "$0")/lib.sh"
if ! has_nightly miri rust-src; then
    note "miri: skipped, there is no nightly with miri and rust-src"
    exit 0
fi
export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-disable-isolation"
pure=(--skip buddy:: --skip bytes:: --skip level:: --skip address_map:: --skip directory::)
long=(--skip larger_maps --skip all_small_maps --skip layer::cache --skip random_sets --skip directory:: --skip address_map::)

# miri ARGUMENTS... -- TEST_ARGUMENTS...
miri() { cargo +nightly miri test -p pool-core "$@"; }

miri --lib -- "${pure[@]}"
# Of the contract one stack of each kind: all of them take half an hour here, and run natively.
stacks=(heap::alone heap::cache::alone heap::local_cache::alone heap::limit::alone mmap::alone fixed::alone)
miri --test contract -- --exact "${stacks[@]}"
miri --test buddy --test model --test failing --test stats --test budget
MIRIFLAGS+=" -Zmiri-tree-borrows" miri --lib -- "${pure[@]}" --skip layer::cache
for target in i686-unknown-linux-gnu s390x-unknown-linux-gnu; do
    echo "on $target"
    miri --target "$target" --lib -- "${long[@]}"
done
MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-disable-isolation" \
    cargo +nightly miri test -p pool-arena --lib --test cleanups --test growing --test random --test scopes --test sealed
MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-disable-isolation" \
    cargo +nightly miri test -p pool-object --test small --test boxes --test random
