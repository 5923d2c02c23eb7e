//! Models of what pool-ring's threads share, for [loom](https://docs.rs/loom): every interleaving of
//! two threads with a few operations each. They stand in `tests/`, and run with
//! `RUSTFLAGS="--cfg loom" cargo test -p pool-ring-loom --release`.
#![forbid(unsafe_code)]
