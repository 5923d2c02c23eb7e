#!/usr/bin/env bash
# Every benchmark runs once and asserts its answers; no time is judged here.
source "$(dirname "$0")/lib.sh"
if ! has_package benches; then
    note "bench: skipped, there is no package benches"
    exit 0
fi
cargo run --release -p benches -- smoke

# Instructions of ours against the last record, where they can be counted by the same compiler.
record=$(ls benches/record/*.json | tail -n 1)
if ! command -v valgrind >/dev/null; then
    note "bench: no instructions were counted, there is no valgrind"
elif ! grep -qF "$(rustc -V)" "$record"; then
    note "bench: instructions were not compared, $record is of another compiler"
else
    cargo run --release -p benches -- smoke --against "$record"
fi
