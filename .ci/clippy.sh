#!/usr/bin/env bash
# No warning anywhere, and nothing of the standard library that is newer than `rust-version`
# (`incompatible_msrv`). Dependencies are held to it, too; a newer language feature would pass here.
source "$(dirname "$0")/lib.sh"
cargo clippy --workspace --all-targets --all-features -- -D warnings -D clippy::incompatible_msrv
