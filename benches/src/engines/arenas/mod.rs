//! The engines of arenas, one small file each.

mod arena;
mod arena_fixed;
mod blink;
mod bump_scope;
mod bumpalo;
mod cursor;
mod freed;
mod null;
mod typed_arena;

pub use arena::{Arena, ArenaVec};
pub use arena_fixed::ArenaFixed;
pub use blink::Blink;
pub use bump_scope::{BumpScope, BumpScopeUp};
pub use bumpalo::{Bumpalo, BumpaloAligned};
pub use cursor::Cursor;
pub use freed::{Glibc, Mimalloc};
pub use typed_arena::TypedArena;

use std::ptr::NonNull;
use std::slice;

/// The text, copied to `place`, which has as many bytes and is the text's alone.
#[inline(always)]
fn copied<'a>(place: NonNull<u8>, text: &str) -> &'a str {
    // SAFETY: so many bytes are there, new ones, so the text is not among them.
    unsafe { place.copy_from_nonoverlapping(NonNull::from(text).cast(), text.len()) };
    // SAFETY: initialised just now.
    let bytes = unsafe { slice::from_raw_parts(place.as_ptr(), text.len()) };
    // SAFETY: a copy of a string.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}
