//! `Lines`: frames that end with a line feed.

use super::delimiter::too_large;
use super::{Decoded, Decoder, Encoder, FrameError, Hint, Kept, identity, room};
use memchr::memchr;

/// Lines, ended by `\n` or `\r\n`, which the user does not get. They are bytes: text is what the user
/// makes of them.
///
/// ```
/// use pool_ring::frame::{Decoded, Decoder, Lines};
/// let mut lines = Lines::new(80);
/// assert_eq!(lines.decode(b"PING\r\nQUIT"), Ok(Decoded::Frame { frame: &b"PING"[..], consumed: 6 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    max: usize,
}

impl Lines {
    /// Lines of at most `max` bytes, their end included.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max }
    }

    /// The most bytes that a line may have.
    #[must_use]
    pub const fn max_frame(&self) -> usize {
        self.max
    }
}

impl Decoder for Lines {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    #[inline]
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        self.decode_after(bytes, 0)
    }

    #[inline]
    fn identity(&self) -> u64 {
        const { identity(b"lines", 0) }
    }

    #[inline]
    fn decode_after<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: usize,
    ) -> Result<Decoded<&'a [u8]>, FrameError> {
        let end = bytes.len().min(self.max);
        let found = bytes.get(seen..end).and_then(|tail| memchr(b'\n', tail));
        match found {
            Some(at) => {
                let line = &bytes[..seen + at];
                let frame = line.strip_suffix(b"\r").unwrap_or(line);
                Ok(Decoded::Frame { frame, consumed: line.len() + 1 })
            }
            None if bytes.len() < self.max => Ok(Decoded::NeedMore(Hint::Unknown)),
            None => Err(too_large(self.max)),
        }
    }

    #[inline]
    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        let short = kept.len.saturating_add(fresh.len()) < self.max;
        (short && memchr(b'\n', fresh).is_none()).then_some(Hint::Unknown)
    }
}

/// Lines end with `\r\n`.
impl Encoder for Lines {
    fn encoded_len(&self, payload: &[u8]) -> Result<usize, FrameError> {
        if let Some(at) = memchr(b'\n', payload) {
            return Err(FrameError::ContainsDelimiter { at });
        }
        let len = payload.len().saturating_add(2);
        if len > self.max {
            return Err(FrameError::TooLarge { len: len as u64, max: self.max });
        }
        Ok(len)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let len = self.encoded_len(payload)?;
        let (body, end) = room(out, len)?.split_at_mut(payload.len());
        body.copy_from_slice(payload);
        end.copy_from_slice(b"\r\n");
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_line_and_the_maximum() {
        let mut lines = Lines::new(5);
        let frame = |frame: &'static [u8], consumed| Ok(Decoded::Frame { frame, consumed });
        assert_eq!(lines.decode(b"abc\r\n"), frame(b"abc", 5));
        assert_eq!(lines.decode(b"a\rbc\nd"), frame(b"a\rbc", 5));
        assert_eq!(lines.decode(b"\n"), frame(b"", 1));
        assert_eq!(lines.decode(b"abcd"), Ok(Decoded::NeedMore(Hint::Unknown)));
        assert_eq!(lines.decode(b"abcde\n"), Err(FrameError::TooLarge { len: 6, max: 5 }));
        assert_eq!(lines.decode_after(b"abc\r\n", 4), frame(b"abc", 5));
        assert_eq!(lines.decode_after(b"a\n", 7), Ok(Decoded::NeedMore(Hint::Unknown)));
    }

    #[test]
    fn waiting_ends_with_a_line_feed_or_the_maximum() {
        let kept = Kept::new(b"ab");
        assert_eq!(Lines::new(5).wait(kept, b"cd"), Some(Hint::Unknown));
        assert_eq!(Lines::new(5).wait(kept, b"c\n"), None);
        assert_eq!(Lines::new(5).wait(kept, b"cde"), None);
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut out = [0; 16];
        let len = Lines::new(16).encode(b"PONG", &mut out).unwrap();
        assert_eq!(
            Lines::new(16).decode(&out[..len]),
            Ok(Decoded::Frame { frame: &b"PONG"[..], consumed: 6 })
        );
        assert_eq!(
            Lines::new(16).encode(b"a\nb", &mut out),
            Err(FrameError::ContainsDelimiter { at: 1 })
        );
        assert_eq!(
            Lines::new(5).encode(b"PONG", &mut out),
            Err(FrameError::TooLarge { len: 6, max: 5 })
        );
    }
}
