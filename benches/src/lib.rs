//! The scoreboard: *workloads* (each defined once, seeded, with its answers asserted) × *engines*
//! (one small file each: ours, each peer, the null loop).
//!
//! A [`Case`] is one pair of them. `cargo run --release -p benches -- table` measures all cases and
//! holds them against the [`gates`]; `docs/BENCHMARKS.md` says how, and what it does not show.
//!
//! A new engine is one file in `engines/` and a few lines in the `mod.rs` beside it: `docs/BENCHMARKS.md` shows one. A new
//! workload is one file in `workloads/` and one line in [`cases`].

pub mod callgrind;
pub mod case;
pub mod docs;
pub mod engine;
pub mod engines;
pub mod facts;
pub mod gates;
pub mod heap;
pub mod measure;
pub mod misses;
pub mod objects;
pub mod opaque;
pub mod plot;
pub mod progress;
pub mod queue;
pub mod record;
pub mod region;
pub mod render;
pub mod scale;
pub mod segments;
pub mod server;
pub mod slots;
pub mod stream;
pub mod table;
pub mod together;
pub mod workloads;

pub use case::{Case, Prepared, find};
pub use workloads::cases;
