//! The engines of arenas, one small file each.

mod arena;
mod arena_fixed;
mod blink;
mod bump_scope;
mod bumpalo;
mod cursor;
mod freed;
#[cfg(feature = "nginx")]
mod nginx;
mod null;
mod typed_arena;

pub use arena::{Arena, ArenaVec};
pub use arena_fixed::ArenaFixed;
pub use blink::Blink;
pub use bump_scope::{BumpScope, BumpScopeUp};
pub use bumpalo::{Bumpalo, BumpaloAligned};
pub use cursor::Cursor;
pub use freed::{Glibc, Mimalloc};
#[cfg(feature = "nginx")]
pub use nginx::Nginx;
pub use typed_arena::TypedArena;

/// Adds `$case::<Nginx>()` to a list of cases, if it is built in.
macro_rules! and_nginx {
    ($cases:expr, $case:ident($($argument:expr),*)) => {{
        #[allow(unused_mut, reason = "not with all features")]
        let mut cases = $cases;
        #[cfg(feature = "nginx")]
        cases.push($case::<$crate::engines::arenas::Nginx>($($argument),*));
        cases
    }};
}

pub(crate) use and_nginx;

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
