#!/usr/bin/env bash
# Every benchmark runs once and asserts its answers; instructions of ours are held against the last record, where
# they can be counted, of the same compiler on the same kind of processor. No time is judged here.
source "$(dirname "$0")/lib.sh"
if ! has_package benches; then
    note "bench: skipped, there is no package benches"
    exit 0
fi
# As a record names it.
processor() {
    awk -F '\t*: ' '!($1 in of) { of[$1] = $2 }
        END { printf "%s (family %s, model %s)", of["model name"], of["cpu family"], of["model"] }' /proc/cpuinfo
}
record=$(LC_ALL=C ls benches/record/*.json | LC_ALL=C sort | tail -n 1)
against=(--against "$record")
if ! command -v valgrind >/dev/null; then
    note "bench: no instructions were counted, there is no valgrind"
    against=()
elif ! grep -qF "$(rustc -V)" "$record"; then
    note "bench: instructions were not compared, $record is of another compiler"
    against=()
elif ! grep -qF " × $(processor)\"" "$record"; then
    # The C library copies by other instructions on another processor.
    note "bench: instructions were not compared, $record is of another processor"
    against=()
fi

# Peers that need more than cargo, where that is there.
features=(nginx)
if command -v cmake >/dev/null && command -v c++ >/dev/null; then
    features+=(snmalloc)
else
    note "bench: snmalloc was left out, there is no cmake or no C++ compiler"
fi
minor=$(rustc -V | cut -d . -f 2)
if ((minor >= 88)); then
    features+=(stoolap)
else
    note "bench: stoolap-jemalloc was left out, it needs Rust 1.88"
fi
# Its configure and make take longer than all else here.
if [[ -n ${POOL_JEMALLOC:-} ]]; then
    features+=(jemalloc)
else
    note "bench: jemalloc was left out, building it takes minutes: POOL_JEMALLOC=1 does"
fi
cargo run --release -p benches --features "${features[*]}" -- smoke "${against[@]}"

# A program with GlobalHeap registered makes a box and drops it in 24 instructions at most, its loop included.
if command -v valgrind >/dev/null; then
    cargo build --release -p pool-object-programs --bin boxes
    counted() {
        valgrind --tool=callgrind --callgrind-out-file=/dev/null "$target/release/boxes" "$1" 2>&1 \
            | sed -n 's/.*Collected : //p'
    }
    once=$(counted 10000) twice=$(counted 20000)
    tenths=$(((twice - once) / 1000))
    echo "a box: $((tenths / 10)).$((tenths % 10)) instructions, at most 24"
    ((once > 0 && tenths <= 240))
fi
