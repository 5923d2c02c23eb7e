//! `Delimiter`: frames that end with given bytes.

use super::{Decoded, Decoder, Encoder, FrameError, Hint, Kept, identity, refuse, room};
use memchr::memchr_iter;

/// Frames that end with one or several given bytes, which the user does not get.
///
/// ```
/// use pool_ring::frame::{Decoded, Decoder, Delimiter, FrameError, Hint};
/// let mut heads = Delimiter::new(b"\r\n\r\n", 100);
/// let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
/// let frame = &request[..23];
/// assert_eq!(heads.decode(request), Ok(Decoded::Frame { frame, consumed: 27 }));
/// // 20 bytes were looked at before, so only what may end a delimiter now is.
/// assert_eq!(heads.decode_after(&request[..25], 20), Ok(Decoded::NeedMore(Hint::Unknown)));
/// assert_eq!(heads.decode(&[b'x'; 100]), Err(FrameError::TooLarge { len: 101, max: 100 }));
/// ```
///
/// # Complexity
/// O(bytes not seen before); delimiters whose last byte is frequent in the data cost a comparison for each. One that may stand over the end of a
/// chunk of a packet ring is looked at there: O(chunks) more, and no copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter<'d> {
    /// Not empty.
    delimiter: &'d [u8],
    max: usize,
    identity: u64,
}

impl<'d> Delimiter<'d> {
    /// Frames that end with `delimiter` and have at most `max` bytes, the delimiter included.
    ///
    /// # Panics
    /// If the delimiter is empty.
    #[must_use]
    #[track_caller]
    pub fn new(delimiter: &'d [u8], max: usize) -> Self {
        Self::try_new(delimiter, max).unwrap_or_else(|error| refuse(error))
    }

    /// Frames that end with `delimiter` and have at most `max` bytes, the delimiter included.
    ///
    /// # Errors
    /// [`FrameError::Empty`] if the delimiter is empty.
    pub const fn try_new(delimiter: &'d [u8], max: usize) -> Result<Self, FrameError> {
        if delimiter.is_empty() {
            return Err(FrameError::Empty);
        }
        let identity = identity(b"delimiter", identity(delimiter, 0));
        Ok(Self { delimiter, max, identity })
    }

    /// The most bytes that a frame may have.
    #[must_use]
    pub const fn max_frame(&self) -> usize {
        self.max
    }

    /// Where the first delimiter begins that ends at byte `from` or later.
    fn find(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let (&last, before) = self.delimiter.split_last()?;
        let tail = bytes.get(from..)?;
        let mut ends = memchr_iter(last, tail).map(|at| from + at);
        ends.find(|&end| bytes[..end].ends_with(before)).map(|end| end - before.len())
    }
}

impl Decoder for Delimiter<'_> {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    #[inline]
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        self.decode_after(bytes, 0)
    }

    #[inline]
    fn identity(&self) -> u64 {
        self.identity
    }

    fn decode_after<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: usize,
    ) -> Result<Decoded<&'a [u8]>, FrameError> {
        let within = &bytes[..bytes.len().min(self.max)];
        match self.find(within, seen) {
            Some(at) => {
                let consumed = at + self.delimiter.len();
                Ok(Decoded::Frame { frame: &bytes[..at], consumed })
            }
            None if bytes.len() < self.max => Ok(Decoded::NeedMore(Hint::Unknown)),
            None => Err(too_large(self.max)),
        }
    }

    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        let len = kept.len.saturating_add(fresh.len());
        (len < self.max && !self.may_end(kept, fresh)).then_some(Hint::Unknown)
    }
}

impl Delimiter<'_> {
    /// Whether a delimiter ends in `fresh`, or may, behind `kept`.
    fn may_end(&self, kept: Kept<'_>, fresh: &[u8]) -> bool {
        let Some((&last, before)) = self.delimiter.split_last() else { return true };
        memchr_iter(last, fresh).any(|end| {
            let inside = &fresh[..end.min(fresh.len())];
            let (here, there) = before.split_at(before.len() - before.len().min(inside.len()));
            // `here` must end what was kept, of which the tail may be too short to tell.
            let (far, near) = here.split_at(here.len() - here.len().min(kept.tail.len()));
            inside.ends_with(there)
                && kept.tail.ends_with(near)
                && (far.is_empty() || stands_before(kept, far, near.len()))
        })
    }
}

/// Whether `part` stands `behind` bytes before the end of what was kept, or may.
#[cold]
#[inline(never)]
fn stands_before(kept: Kept<'_>, part: &[u8], behind: usize) -> bool {
    let Some(mut at) = kept.len.checked_sub(behind + part.len()) else { return false };
    let mut place = [0; 64];
    part.chunks(place.len()).all(|part| {
        let place = &mut place[..part.len()];
        // A part that cannot be seen may be anything.
        let seen = kept.copy_at(at, place);
        at += seen;
        place[..seen] == part[..seen]
    })
}

#[cold]
pub(super) fn too_large(max: usize) -> FrameError {
    FrameError::TooLarge { len: (max as u64).saturating_add(1), max }
}

impl Encoder for Delimiter<'_> {
    fn encoded_len(&self, payload: &[u8]) -> Result<usize, FrameError> {
        if let Some(at) = self.find(payload, 0) {
            return Err(FrameError::ContainsDelimiter { at });
        }
        // A payload that ends with a part of the delimiter may complete one too early.
        let overlap = (1..self.delimiter.len()).rev().find(|&n| {
            payload.ends_with(&self.delimiter[..n])
                && self.delimiter[n..] == self.delimiter[..self.delimiter.len() - n]
        });
        if let Some(part) = overlap {
            return Err(FrameError::ContainsDelimiter { at: payload.len() - part });
        }
        let len = payload.len().saturating_add(self.delimiter.len());
        if len > self.max {
            return Err(FrameError::TooLarge { len: len as u64, max: self.max });
        }
        Ok(len)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let len = self.encoded_len(payload)?;
        let (body, end) = room(out, len)?.split_at_mut(payload.len());
        body.copy_from_slice(payload);
        end.copy_from_slice(self.delimiter);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over all texts of up to 7 letters of two, and delimiters of up to 3.
    #[test]
    fn searches_resume_and_waiting_never_misses_a_frame() {
        let words = |len: u32| {
            (0..1usize << len).map(move |bits| {
                (0..len).map(|bit| b'a' + (bits >> bit & 1) as u8).collect::<Vec<u8>>()
            })
        };
        // Miri takes a smaller alphabet of lengths.
        let (longest, text) = if cfg!(miri) { (2, 4) } else { (3, 7) };
        for delimiter in (1..=longest).flat_map(words) {
            let mut codec = Delimiter::new(&delimiter, 100);
            for text in (1..=text).flat_map(words) {
                let naive = text.windows(delimiter.len()).position(|part| part == delimiter);
                let whole = codec.decode(&text).unwrap();
                let expected = match naive {
                    Some(at) => {
                        Decoded::Frame { frame: &text[..at], consumed: at + delimiter.len() }
                    }
                    None => Decoded::NeedMore(Hint::Unknown),
                };
                assert_eq!(whole, expected);
                for cut in 1..text.len() {
                    let (kept, fresh) = text.split_at(cut);
                    if codec.decode(kept).unwrap() != Decoded::NeedMore(Hint::Unknown) {
                        break;
                    }
                    assert_eq!(codec.decode_after(&text, cut).unwrap(), expected);
                    for tail in 1..=cut {
                        let kept = Kept { tail: &kept[cut - tail..], ..Kept::new(kept) };
                        let wait = codec.wait(kept, fresh).is_some();
                        assert!(!wait || naive.is_none());
                        assert!(wait || naive.is_some());
                    }
                }
                let mut out = [0; 16];
                if let Ok(len) = codec.encode(&text, &mut out) {
                    let frame = Decoded::Frame { frame: &text[..], consumed: len };
                    assert_eq!(codec.decode(&out[..len]), Ok(frame));
                }
            }
        }
    }

    #[test]
    fn the_maximum_counts_the_delimiter() {
        let mut codec = Delimiter::new(b";", 4);
        assert_eq!(codec.decode(b"abc;"), Ok(Decoded::Frame { frame: &b"abc"[..], consumed: 4 }));
        assert_eq!(codec.decode(b"abcd;"), Err(FrameError::TooLarge { len: 5, max: 4 }));
        assert_eq!(codec.decode(b"abc"), Ok(Decoded::NeedMore(Hint::Unknown)));
        assert_eq!(
            codec.encode(b"abcd", &mut [0; 9]),
            Err(FrameError::TooLarge { len: 5, max: 4 })
        );
        assert_eq!(Delimiter::try_new(b"", 4), Err(FrameError::Empty));
    }
}
