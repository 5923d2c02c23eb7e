//! Real servers on the pool crates, as libraries, so that tests and other programs can run them in
//! process. The programs themselves are thin: see `src/kv/main.rs`.

pub mod kv;
