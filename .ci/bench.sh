#!/usr/bin/env bash
# Every benchmark runs once and asserts its answers; no time is judged here.
source "$(dirname "$0")/lib.sh"
if ! has_package benches; then
    note "bench: skipped, there is no package benches"
    exit 0
fi
cargo run --release -p benches -- smoke
