#!/usr/bin/env bash
# No warning anywhere, and nothing of the standard library that is newer than `rust-version`
# (`incompatible_msrv`). Dependencies are held to it, too; a newer language feature would pass here.
source "$(dirname "$0")/lib.sh"
# The benches' other features build peers that need more than cargo and a C compiler.
cargo clippy --workspace --exclude benches --all-targets --all-features -- -D warnings -D clippy::incompatible_msrv
cargo clippy -p benches --all-targets --features gungraun,nginx -- -D warnings -D clippy::incompatible_msrv
