#!/usr/bin/env bash
# AddressSanitizer on what needs the operating system, and so cannot run under Miri. Leaks are Miri's to
# find: some tests leak on purpose.
source "$(dirname "$0")/lib.sh"
if ! has_nightly; then
    note "asan: skipped, there is no nightly toolchain"
    exit 0
fi
export RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=$target/asan
asan() { cargo +nightly test -p pool-core --target "$host" "$@"; }

# Children crash on purpose, and the parent reads the signal.
export ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:quarantine_size_mb=16:detect_leaks=0:allocator_may_return_null=1
# Not with the sanitizer's own mappings: a core dump of its shadow, a full table, resident bytes.
own=(--skip core_dump --skip a_full_table --skip touching_memory)
asan --lib -- "${own[@]}"
# `steady` forbids system calls, which the sanitizer makes.
for file in pool-core/tests/*.rs; do
    name=$(basename "$file" .rs)
    [[ $name == contract || $name == steady || $name == spike ]] || asan --test "$name" -- "${own[@]}"
done
asan --test contract -- --skip below
# With what is free in an arena forbidden to everybody.
cargo +nightly test -p pool-arena --features poison --target "$host" --lib --tests
# And blocks that were given back.
cargo +nightly test -p pool-object --features poison --target "$host" --lib \
    --test small --test boxes --test random --test poison --test shared --test shared_model \
    --test shared_random --test boxed_slices --test collections --test defrag --test zeroed
# Descriptors, mirrored pages, and buffers that the kernel writes.
cargo +nightly test -p pool-ring --target "$host" --test hostile --test ring_buf --test io_uring \
    --test mirror -- --skip a_full_table
