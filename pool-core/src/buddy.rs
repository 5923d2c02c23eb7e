//! The arithmetic of the buddy: which pages are free, kept outside of the pages.
#![forbid(unsafe_code)]

mod bitset;
mod map;

pub(crate) use map::BuddyMap;
