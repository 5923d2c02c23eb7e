#!/usr/bin/env bash
# pool-core, pool-arena and pool-object compile with each set of features, and without the operating system.
source "$(dirname "$0")/lib.sh"
sets=(
    "" alloc testing poison
    std std,mirror std,testing std,metrics std,mirror,testing,metrics
)
for set in "${sets[@]}"; do
    echo "pool-core with features [$set]"
    RUSTFLAGS="-D warnings" CARGO_TARGET_DIR=$target/features \
        cargo check --quiet -p pool-core --no-default-features --features "$set"
done
for set in "" alloc std allocator-api2 allocator-api2-04 std,poison; do
    echo "pool-arena with features [$set]"
    RUSTFLAGS="-D warnings" CARGO_TARGET_DIR=$target/features \
        cargo check --quiet -p pool-arena --no-default-features --features "$set"
done
for set in "" alloc std allocator-api2 allocator-api2-04 checked trace poison metrics; do
    echo "pool-object with features [$set]"
    RUSTFLAGS="-D warnings" CARGO_TARGET_DIR=$target/features \
        cargo check --quiet -p pool-object --no-default-features --features "$set"
done
for set in "" alloc std fd mirror bytes tokio io-uring std,fd,mirror,bytes,tokio,io-uring; do
    echo "pool-ring with features [$set]"
    RUSTFLAGS="-D warnings" CARGO_TARGET_DIR=$target/features \
        cargo check --quiet -p pool-ring --no-default-features --features "$set"
done
