#!/usr/bin/env bash
# ThreadSanitizer: the standard library must be instrumented, too.
source "$(dirname "$0")/lib.sh"
if ! has_nightly rust-src; then
    note "tsan: skipped, there is no nightly with rust-src"
    exit 0
fi
# Absurd sizes are refused, as without the sanitizer.
export TSAN_OPTIONS=allocator_may_return_null=1
export RUSTFLAGS="-Zsanitizer=thread -Copt-level=1" CARGO_TARGET_DIR=$target/tsan
on() { cargo +nightly test -Zbuild-std --target "$host" -p "$@"; }
tsan() { on pool-core "$@"; }

tsan --lib -- layer source
tsan --test budget --test stats
# A fork with other threads about is what the sanitizer does not follow.
tsan --test global -- --skip fork
# One layer over each source has all that threads can share. Mirrors are mapped by bare system calls,
# of which the sanitizer does not know that they make memory new.
tsan --test contract -- --skip below --skip mirrors
on pool-arena --test sync_arena
on pool-object --test shared --test shared_model --test collections --test shared_pool --test bounded_pool --test pools_random
