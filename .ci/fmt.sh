#!/usr/bin/env bash
# Everything is formatted.
source "$(dirname "$0")/lib.sh"
cargo fmt --all --check
[[ ! -f fuzz/Cargo.toml ]] || cargo fmt --manifest-path fuzz/Cargo.toml --check
