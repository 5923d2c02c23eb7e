#!/usr/bin/env bash
# AddressSanitizer, leaks included.
source "$(dirname "$0")/lib.sh"
if ! has_nightly; then
    note "asan: skipped, there is no nightly toolchain"
    exit 0
fi
RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=$target/asan \
    cargo +nightly test -p pool-core --target "$host" --lib --tests
