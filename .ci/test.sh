#!/usr/bin/env bash
# The tests: the README's command.
source "$(dirname "$0")/lib.sh"
cargo test --workspace

# And with all that is optional.
cargo test -p pool-arena --all-features
cargo test -p pool-object --all-features
