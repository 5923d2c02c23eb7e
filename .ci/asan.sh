#!/usr/bin/env bash
# AddressSanitizer. Leaks are Miri's to find: some tests forget guards on purpose.
source "$(dirname "$0")/lib.sh"
if ! has_nightly; then
    note "asan: skipped, there is no nightly toolchain"
    exit 0
fi
export ASAN_OPTIONS=detect_leaks=0
RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=$target/asan \
    cargo +nightly test --no-fail-fast -p pool-core --target "$host" --lib --tests
