#!/usr/bin/env bash
# The crates type-check for systems that are not here: the README's table of platforms.
source "$(dirname "$0")/lib.sh"
if ! has_nightly rust-src; then
    note "platforms: skipped, there is no nightly with rust-src"
    exit 0
fi
export CARGO_TARGET_DIR=$target/platforms RUSTFLAGS="-D warnings"

# check STD TARGET ARGUMENTS...
check() {
    echo "pool-core for $2 ($1)"
    cargo +nightly check --quiet -Zbuild-std="$1" --target "$2" -p pool-core "${@:3}"
}

all=(--features testing,metrics,mirror)
check std x86_64-apple-darwin "${all[@]}"
check std aarch64-apple-darwin "${all[@]}"
check std x86_64-pc-windows-msvc "${all[@]}"
check std aarch64-unknown-linux-gnu "${all[@]}"
check std i686-unknown-linux-gnu "${all[@]}"
check std wasm32-unknown-unknown --features testing
check core,alloc wasm32-unknown-unknown --no-default-features --features alloc,testing
check core thumbv7em-none-eabi --no-default-features
check core,alloc thumbv7em-none-eabi --no-default-features --features alloc

# The pools have no calls of their own to the system, but sizes and atomics of their own.
for package in pool-arena pool-object pool-ring; do
    features=std
    [[ $package != pool-ring ]] || features=std,mirror
    for target in aarch64-apple-darwin x86_64-pc-windows-msvc aarch64-unknown-linux-gnu i686-unknown-linux-gnu; do
        echo "$package for $target"
        cargo +nightly check --quiet -Zbuild-std=std --target $target -p $package --features $features
    done
    echo "$package for thumbv7em-none-eabi"
    cargo +nightly check --quiet -Zbuild-std=core --target thumbv7em-none-eabi -p $package --no-default-features
done
# Descriptors, where there are any.
cargo +nightly check --quiet -Zbuild-std=std --target aarch64-apple-darwin -p pool-ring --features fd
