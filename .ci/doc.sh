#!/usr/bin/env bash
# The documentation builds without a warning, with all features and with the default ones.
source "$(dirname "$0")/lib.sh"
export RUSTDOCFLAGS="-D warnings"
cargo doc --quiet --workspace --exclude benches --all-features --no-deps --lib
cargo doc --quiet -p benches --no-deps --lib
cargo doc --quiet -p pool-core --all-features --no-deps --document-private-items
