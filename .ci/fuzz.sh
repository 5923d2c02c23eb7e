#!/usr/bin/env bash
# Each fuzz target for a short while: 8 seconds, or FUZZ_SECONDS.
source "$(dirname "$0")/lib.sh"
if ! has_nightly || ! cargo fuzz --version >/dev/null 2>&1; then
    note "fuzz: skipped, there is no nightly or no cargo-fuzz"
    exit 0
fi
cargo +nightly fuzz build
for name in $(cargo +nightly fuzz list); do
    echo "fuzzing $name"
    log=$(mktemp)
    if ! cargo +nightly fuzz run "$name" -- -max_total_time="${FUZZ_SECONDS:-8}" -max_len=4096 \
        >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
    tail -n 1 "$log"
done
