//! Formatted strings of a `SyncArena`.

use super::SyncArena;
use crate::error::{AllocError, refuse};
use core::fmt::{self, Write};
use core::mem;
use pool_core::PageSource;

/// Bytes of text that are formatted on the stack first, so that short texts take no more of the
/// arena than they need.
const SHORT: usize = 256;

/// Text that is being formatted. There is no last object to grow where other threads allocate, so
/// it moves to a buffer twice as long each time.
struct Formatting<'a, 'b, S: PageSource> {
    arena: &'a SyncArena<S>,
    short: &'b mut [u8; SHORT],
    /// Empty as long as all fits in `short`.
    long: &'a mut [u8],
    len: usize,
    refused: Option<AllocError>,
}

impl<S: PageSource> Formatting<'_, '_, S> {
    fn push(&mut self, text: &[u8]) -> Result<(), AllocError> {
        let too_large = AllocError::TooLarge { items: text.len(), size: 1 };
        let len = self.len.checked_add(text.len()).ok_or(too_large)?;
        if len > SHORT && len > self.long.len() {
            self.grow(len)?;
        }
        let buffer = if self.long.is_empty() { &mut self.short[..] } else { &mut *self.long };
        buffer[self.len..len].copy_from_slice(text);
        self.len = len;
        Ok(())
    }

    /// Moves to a buffer of `len` bytes or more, if that much may be had.
    #[cold]
    fn grow(&mut self, len: usize) -> Result<(), AllocError> {
        let twice = len.max(self.long.len().saturating_mul(2)).max(2 * SHORT);
        let arena = self.arena;
        let longer = arena
            .try_alloc_slice_fill_copy(twice, 0)
            .or_else(|error| arena.try_alloc_slice_fill_copy(len, 0).map_err(|_| error))?;
        let old = if self.long.is_empty() { &self.short[..] } else { &*self.long };
        longer[..self.len].copy_from_slice(&old[..self.len]);
        self.long = longer;
        Ok(())
    }
}

impl<S: PageSource> Write for Formatting<'_, '_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes()).map_err(|error| {
            self.refused = Some(error);
            fmt::Error
        })
    }
}

/// # Text
#[allow(clippy::mut_from_ref, reason = "every call lends other memory")]
impl<S: PageSource> SyncArena<S> {
    /// Formats into the arena; [`arena_format!`](crate::arena_format) is shorter to write.
    ///
    /// Up to 256 bytes take what they need. A longer text moves to a buffer twice as long each time
    /// it is full, and what it leaves is not used again before the reset: up to four times its
    /// length in all.
    ///
    /// # Panics
    /// If no memory can be had, or an implementation of `Display` fails or panics.
    ///
    /// ```
    /// use pool_arena::{SyncArena, arena_format};
    /// let arena = SyncArena::new();
    /// assert_eq!(arena_format!(arena, "{:>3}|{}", 7, "x"), "  7|x");
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
        if let Some(text) = args.as_str() {
            return self.try_alloc_str(text);
        }
        let mut short = [0; SHORT];
        let (long, refused) = (&mut [][..], None);
        let mut text = Formatting { arena: self, short: &mut short, long, len: 0, refused };
        let written = text.write_fmt(args);
        if let Some(error) = text.refused {
            return Err(error);
        }
        assert!(written.is_ok(), "a formatting trait implementation returned an error");
        let (long, len) = (mem::take(&mut text.long), text.len);
        let bytes = match long.is_empty() {
            true => self.try_alloc_slice_copy(&short[..len])?,
            false => &mut long[..len],
        };
        // SAFETY: whole strings, one after another, and nothing else.
        Ok(unsafe { core::str::from_utf8_unchecked_mut(bytes) })
    }
}
