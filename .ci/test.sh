#!/usr/bin/env bash
# The tests: the README's command. With POOL_SOAK_SECONDS=60 the random run of pool-object's
# `shared_steady` (threads that come and go, 8 bytes to 1 MiB) takes a minute, not ten seconds.
source "$(dirname "$0")/lib.sh"
cargo test --workspace

# And with all that is optional.
if valgrind --version >/dev/null 2>&1; then
    export POOL_VALGRIND=1
else
    note "test: no valgrind, so nobody saw whether memcheck hears of free memory"
fi
export POOL_SOAK_SECONDS=${POOL_SOAK_SECONDS:-10}
cargo test -p pool-arena --all-features
cargo test -p pool-object --all-features
cargo test -p pool-ring --all-features
# Optimised: what two views of a page need a fence for does not show otherwise.
CARGO_PROFILE_RELEASE_LTO=off cargo test -p pool-ring --release --test mirror --test ring_buf
