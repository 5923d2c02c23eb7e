#!/usr/bin/env bash
# Examples that must not compile name the error that they fail by; only nightly looks whether it is that one.
source "$(dirname "$0")/lib.sh"
if ! has_nightly; then
    note "examples: skipped, there is no nightly: nobody saw by which errors examples fail to compile"
    exit 0
fi
CARGO_TARGET_DIR=$target/nightly-doc \
    bounded 240 cargo +nightly test --quiet --doc -p pool-core -p pool-arena -p pool-object -p pool-ring
