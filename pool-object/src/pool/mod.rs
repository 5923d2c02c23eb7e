//! Pools of objects: for one thread (`local`), for any (`shared`), with a hard cap (`bounded`).

#[cfg(feature = "std")]
pub(crate) mod bounded;
#[cfg(feature = "std")]
pub(crate) mod depot;
pub(crate) mod error;
pub(crate) mod guard;
#[cfg(feature = "std")]
pub(crate) mod handle;
#[cfg(feature = "std")]
pub(crate) mod inner;
#[cfg(feature = "std")]
pub(crate) mod inside;
pub(crate) mod local;
#[cfg(feature = "std")]
pub(crate) mod magazine;
#[cfg(feature = "std")]
pub(crate) mod many;
#[cfg(feature = "metrics")]
mod publish;
pub(crate) mod recycle;
pub(crate) mod returning;
#[cfg(feature = "std")]
pub(crate) mod rights;
#[cfg(feature = "std")]
pub(crate) mod shared;
pub(crate) mod slots;
pub(crate) mod stack;
pub(crate) mod stats;
#[cfg(feature = "std")]
pub(crate) mod sync;
#[cfg(feature = "std")]
#[cfg_attr(loom, allow(dead_code, reason = "a model's threads all run on one"))]
pub(crate) mod thread;
#[cfg(feature = "std")]
pub(crate) mod waiters;
#[cfg(feature = "std")]
pub(crate) mod waiting;
