#!/usr/bin/env bash
# Every interleaving of the models of what threads share.
source "$(dirname "$0")/lib.sh"
for package in pool-core-loom pool-arena-loom pool-object-loom pool-object-loom-pools pool-ring-loom; do
    if ! has_package $package; then
        note "loom: skipped, there is no package $package"
        continue
    fi
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$target/loom cargo test -p $package --release
done
