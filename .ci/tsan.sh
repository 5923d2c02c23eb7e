#!/usr/bin/env bash
# ThreadSanitizer: the standard library must be instrumented, too.
source "$(dirname "$0")/lib.sh"
if ! has_nightly rust-src; then
    note "tsan: skipped, there is no nightly with rust-src"
    exit 0
fi
# An optimised build of the tests: the sanitizer is slow enough by itself.
RUSTFLAGS="-Zsanitizer=thread -Copt-level=1" CARGO_TARGET_DIR=$target/tsan \
    cargo +nightly test --no-fail-fast -Zbuild-std -p pool-core --target "$host" --lib --tests
