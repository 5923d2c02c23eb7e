//! Models of what pool-object's threads share, for [loom](https://docs.rs/loom): every interleaving
//! of two or three threads with two operations each. They stand in `tests/`, and run with
//! `RUSTFLAGS="--cfg loom" cargo test -p pool-object-loom --release`.
#![forbid(unsafe_code)]
