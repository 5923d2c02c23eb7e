//! `TailString`, and formatting into the arena.

use crate::arena::{Arena, DefaultSource};
use crate::error::{AllocError, refuse};
use crate::tail::TailVec;
use core::fmt::{self, Write};
use core::ops::{Deref, DerefMut};
use pool_core::PageSource;

/// A string that grows in an arena without leaving copies behind: a [`TailVec`] of bytes. Made by
/// [`Arena::tail_string`].
///
/// ```
/// # use pool_arena::Arena;
/// use std::fmt::Write;
/// let arena = Arena::new();
/// let mut line = arena.tail_string();
/// line.push_str("n = ");
/// write!(line, "{}", 12)?;
/// let line: &mut str = line.finish();
/// assert_eq!(line, "n = 12");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub struct TailString<'a, S: PageSource = DefaultSource> {
    /// UTF-8.
    bytes: TailVec<'a, u8, S>,
}

/// Text that is being formatted, and why that ended.
struct Formatting<'a, S: PageSource> {
    text: TailString<'a, S>,
    refused: Option<AllocError>,
}

#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> Arena<S> {
    /// An empty string that grows in this arena.
    pub fn tail_string(&self) -> TailString<'_, S> {
        TailString { bytes: self.tail_vec() }
    }

    /// Formats into the arena; [`arena_format!`](crate::arena_format) is shorter to write. No more
    /// memory is taken than the text needs, unless it reaches the end of a chunk.
    ///
    /// # Panics
    /// If no memory can be had, or an implementation of `Display` fails or panics.
    ///
    /// ```
    /// # use pool_arena::Arena;
    /// let arena = Arena::new();
    /// let text = arena.alloc_fmt(format_args!("{:>3}|{}", 7, "x"));
    /// assert_eq!(text, "  7|x");
    /// ```
    pub fn alloc_fmt(&self, args: fmt::Arguments<'_>) -> &mut str {
        self.try_alloc_fmt(args).unwrap_or_else(|error| refuse(error))
    }

    /// As [`alloc_fmt`](Self::alloc_fmt).
    ///
    /// # Errors
    /// If no memory can be had.
    ///
    /// # Panics
    /// If an implementation of `Display` fails or panics, as in `format!`.
    pub fn try_alloc_fmt(&self, args: fmt::Arguments<'_>) -> Result<&mut str, AllocError> {
        let mut formatting = Formatting { text: self.tail_string(), refused: None };
        let written = formatting.write_fmt(args);
        match formatting.refused {
            Some(error) => Err(error),
            None => {
                assert!(written.is_ok(), "a formatting trait implementation returned an error");
                Ok(formatting.text.finish())
            }
        }
    }
}

impl<S: PageSource> Write for Formatting<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.try_push_str(text).map_err(|error| {
            self.refused = Some(error);
            fmt::Error
        })
    }
}

impl<'a, S: PageSource> TailString<'a, S> {
    /// Appends a character.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    pub fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    /// Appends a string.
    ///
    /// # Panics
    /// If no memory can be had.
    #[inline]
    pub fn push_str(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// As [`push_str`](Self::push_str).
    ///
    /// # Errors
    /// If no memory can be had; the string is as it was.
    #[inline]
    pub fn try_push_str(&mut self, text: &str) -> Result<(), AllocError> {
        self.bytes.try_extend_from_slice(text.as_bytes())
    }

    /// Cuts the string to its first `len` bytes, if it has more.
    ///
    /// # Panics
    /// If that is inside a character.
    pub fn truncate(&mut self, len: usize) {
        if len < self.bytes.len() {
            assert!(self.is_char_boundary(len), "{len} is not at the boundary of a character");
            self.bytes.truncate(len);
        }
    }

    /// Makes it empty, and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Bytes that fit without more memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The text, for as long as the arena is borrowed. What was reserved beyond it is free again, if
    /// nothing else grew there.
    #[must_use]
    pub fn finish(self) -> &'a mut str {
        // SAFETY: it consists of whole strings, cut at boundaries of characters only.
        unsafe { core::str::from_utf8_unchecked_mut(self.bytes.finish()) }
    }
}

impl<S: PageSource> Deref for TailString<'_, S> {
    type Target = str;

    fn deref(&self) -> &str {
        // SAFETY: it consists of whole strings, cut at boundaries of characters only.
        unsafe { core::str::from_utf8_unchecked(&self.bytes) }
    }
}

impl<S: PageSource> DerefMut for TailString<'_, S> {
    fn deref_mut(&mut self) -> &mut str {
        // SAFETY: it consists of whole strings, cut at boundaries of characters only.
        unsafe { core::str::from_utf8_unchecked_mut(&mut self.bytes) }
    }
}

impl<S: PageSource> Write for TailString<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_push_str(text).map_err(|_| fmt::Error)
    }
}

impl<S: PageSource> fmt::Debug for TailString<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<S: PageSource> fmt::Display for TailString<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// `format!` into an arena: a `&mut str`.
///
/// ```
/// use pool_arena::{Arena, arena_format};
/// let arena = Arena::new();
/// let name = "x";
/// assert_eq!(arena_format!(arena, "{name}: {}", 7), "x: 7");
/// ```
#[macro_export]
macro_rules! arena_format {
    ($arena:expr, $($args:tt)*) => {
        $arena.alloc_fmt(::core::format_args!($($args)*))
    };
}
