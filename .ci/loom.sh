#!/usr/bin/env bash
# Every interleaving of the models of what threads share.
source "$(dirname "$0")/lib.sh"
for package in pool-core-loom pool-object-loom; do
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$target/loom cargo test -p "$package" --release
done
