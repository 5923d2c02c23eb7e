//! The end of a thread, and `fork`: what whoever keeps caches for threads has to know of.
#![forbid(unsafe_code)]

pub use crate::sys::thread::{ThreadEnd, at_fork};
