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

/// A list of `$case::<E>()`, with each engine `E` that takes objects of any kind, and those `$more`.
macro_rules! of_arenas {
    ($case:ident $(, $more:ty)*) => {{
        #[allow(unused_mut, reason = "not with all features")]
        let mut cases = vec![
            $case::<$crate::engines::arenas::Arena>(),
            $case::<$crate::engines::arenas::Bumpalo>(),
            $case::<$crate::engines::arenas::BumpaloAligned>(),
            $case::<$crate::engines::arenas::BumpScope>(),
            $case::<$crate::engines::arenas::Blink>(),
            $case::<$crate::engines::arenas::Mimalloc>(),
            $case::<$crate::engines::arenas::Glibc>(),
        ];
        #[cfg(feature = "nginx")]
        cases.push($case::<$crate::engines::arenas::Nginx>());
        cases.extend([$($case::<$more>()),*]);
        cases
    }};
}

pub(crate) use of_arenas;

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
