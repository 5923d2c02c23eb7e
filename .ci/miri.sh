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
long=(--skip larger_maps --skip all_small_maps --skip layer::cache --skip random_sets --skip directory::)

# miri ARGUMENTS... -- TEST_ARGUMENTS...
miri() { cargo +nightly miri test -p pool-core "$@"; }

miri --lib -- "${pure[@]}"
# Of the contract, sources that differ from another in a number alone are left to the native run.
alike=(--skip heap_16k --skip heap_64k --skip mmap_guarded --skip mmap_long --skip local_cache_16k --skip locked_fixed)
miri --test contract --test buddy --test model --test failing --test stats --test budget -- "${alike[@]}"
MIRIFLAGS+=" -Zmiri-tree-borrows" miri --lib -- "${pure[@]}" --skip layer::cache
for target in i686-unknown-linux-gnu s390x-unknown-linux-gnu; do
    echo "on $target"
    miri --target "$target" --lib -- "${long[@]}"
    miri --target "$target" --test buddy
done
MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-disable-isolation" \
    cargo +nightly miri test -p pool-arena --lib --test cleanups --test scopes --test sealed
