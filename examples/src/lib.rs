//! Real servers on the pool crates, as libraries, so that tests and other programs can run them in
//! process. The programs themselves are thin: see `src/kv/main.rs`. Small examples of one topic each are in
//! `examples/`.

pub mod kv;

/// The example of the repository's first page.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// How to move from other crates.
#[cfg(doctest)]
#[doc = include_str!("../../docs/MOVING.md")]
struct Moving;
