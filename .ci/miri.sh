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
# A backtrace takes longer than the test that panics on purpose.
export RUST_BACKTRACE=0
# Heaps consist of a thousand cells, and Miri looks at each of them whenever a reference to the heap is
# made, unless it need not know which bytes of it are in cells: that is four times as fast.
cells=" -Zmiri-tree-borrows -Zmiri-tree-borrows-no-precise-interior-mut"
pure=(--skip buddy:: --skip bytes:: --skip level:: --skip address_map:: --skip directory::)
long=(--skip larger_maps --skip all_small_maps --skip layer::cache --skip random_sets --skip directory:: --skip address_map::)

# miri SECONDS PACKAGE ARGUMENTS... -- TEST_ARGUMENTS...: as far as it gets in so many seconds.
miri() { bounded "$1" cargo +nightly miri test -p "${@:2}"; }

miri 75 pool-core --lib -- "${pure[@]}"
# Of the contract one stack of each kind: all of them take half an hour here, and run natively.
stacks=(heap::alone heap::cache::alone heap::local_cache::alone heap::limit::alone mmap::alone fixed::alone)
miri 100 pool-core --test contract -- --exact "${stacks[@]}"
miri 60 pool-core --test buddy --test model --test failing --test stats --test budget
miri 90 pool-arena --test sealed --test scopes --test cleanups
miri 60 pool-arena --test growing --lib
miri 60 pool-arena --test sync_arena
miri 30 pool-arena --test random
miri 60 pool-object --lib -- --skip size_class:: --skip shape:: --skip key::
MIRIFLAGS+=$cells miri 45 pool-object --test small
MIRIFLAGS+=$cells miri 45 pool-object --test random
few=(a_heap_may_move going_up_and_down check_finds spans_can_be)
miri 45 pool-object --test small -- "${few[@]}"
miri 40 pool-object --test bounded_pool
miri 40 pool-object --test pool
miri 30 pool-object --test storm -- no_right
miri 45 pool-object --test shared_pool
miri 30 pool-object --test table
miri 30 pool-object --test pools_random
miri 40 pool-object --test pool_layouts
MIRIFLAGS+=$cells miri 45 pool-object --test boxed_slices --test zeroed
MIRIFLAGS+=$cells miri 50 pool-object --test shared
# Threads' caches: what they hand to each other, heaps that go before them.
shared=(a_thread_gets other_threads heaps_may)
miri 40 pool-object --test shared -- "${shared[@]}"
miri 30 pool-ring --lib
for test in packet_random ring_buf spsc reassembly hostile storm; do
    miri 40 pool-ring --test "$test"
done
# Boxes of allocator-api2 give their block back by way of a reference, which Stacked Borrows would
# confine to the value: see docs/UNSAFE.md.
MIRIFLAGS+=$cells miri 45 pool-object --test defrag
MIRIFLAGS+=$cells miri 45 pool-object --test boxes
MIRIFLAGS+=" -Zmiri-tree-borrows" miri 60 pool-core --lib -- "${pure[@]}" --skip layer::cache
for target in i686-unknown-linux-gnu s390x-unknown-linux-gnu; do
    echo "on $target"
    miri 40 pool-core --target "$target" --lib -- "${long[@]}"
done
