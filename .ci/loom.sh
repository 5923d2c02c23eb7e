#!/usr/bin/env bash
# Every interleaving of the models of what threads share.
source "$(dirname "$0")/lib.sh"
if ! has_package pool-core-loom; then
    note "loom: skipped, there is no package pool-core-loom"
    exit 0
fi
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$target/loom cargo test -p pool-core-loom --release
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$target/loom \
    cargo test -p pool-object-loom-pools --release
