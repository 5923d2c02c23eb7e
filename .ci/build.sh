#!/usr/bin/env bash
# The workspace and its tests compile. If not, nothing else is worth trying.
source "$(dirname "$0")/lib.sh"
cargo test --workspace --no-run
