//! A region pool for requests: bump allocation over page sources.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04"))]
mod alloc_api;
mod arena;
mod blocks;
mod boxed;
mod chunk;
mod cleanup;
mod cleanups;
mod config;
mod error;
mod iter;
mod large;
mod root;
mod scope;
mod sealed;
mod slices;
mod storage;
mod string;
mod tail;
mod tip;
mod values;

pub use arena::{Arena, DefaultSource};
pub use boxed::ArenaBox;
pub use config::ArenaBuilder;
pub use error::{AllocError, AllocOrInitError};
pub use root::{CovariantRoot, Root};
pub use scope::{Checkpoint, Scope};
pub use sealed::{AdoptError, SealCause, SealError, Sealed};
pub use string::TailString;
pub use tail::TailVec;
