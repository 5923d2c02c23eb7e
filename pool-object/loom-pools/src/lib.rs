//! Models of what the threads of a pool share, for [loom](https://docs.rs/loom): every interleaving
//! of two or three threads with two operations each. They stand in `tests/`, and run with
//! `RUSTFLAGS="--cfg loom" cargo test -p pool-object-loom-pools --release`.
#![forbid(unsafe_code)]
