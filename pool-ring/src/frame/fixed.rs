//! `FixedLen`: frames that all have one length.

use super::{Decoded, Decoder, Encoder, FrameError, Hint, Kept, identity, refuse, room};

/// Frames of one length.
///
/// ```
/// use pool_ring::frame::{Decoded, Decoder, FixedLen, Hint};
/// let mut words = FixedLen::new(4);
/// assert_eq!(words.decode(b"wordwo"), Ok(Decoded::Frame { frame: &b"word"[..], consumed: 4 }));
/// assert_eq!(words.decode(b"wo"), Ok(Decoded::NeedMore(Hint::Total(4))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedLen {
    /// Not 0.
    len: usize,
}

impl FixedLen {
    /// Frames of `len` bytes, which is their maximum, too.
    ///
    /// # Panics
    /// If `len` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(len: usize) -> Self {
        Self::try_new(len).unwrap_or_else(|error| refuse(error))
    }

    /// Frames of `len` bytes, which is their maximum, too.
    ///
    /// # Errors
    /// [`FrameError::Empty`] if `len` is 0.
    pub const fn try_new(len: usize) -> Result<Self, FrameError> {
        if len == 0 {
            return Err(FrameError::Empty);
        }
        Ok(Self { len })
    }
}

impl Decoder for FixedLen {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    #[inline]
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        Ok(match bytes.get(..self.len) {
            Some(frame) => Decoded::Frame { frame, consumed: self.len },
            None => Decoded::NeedMore(Hint::Total(self.len)),
        })
    }

    #[inline]
    fn identity(&self) -> u64 {
        identity(b"fixed", self.len as u64)
    }

    #[inline]
    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        let short = kept.len.saturating_add(fresh.len()) < self.len;
        short.then_some(Hint::Total(self.len))
    }
}

impl Encoder for FixedLen {
    fn encoded_len(&self, payload: &[u8]) -> Result<usize, FrameError> {
        if payload.len() != self.len {
            return Err(FrameError::WrongLength { len: payload.len(), fixed: self.len });
        }
        Ok(self.len)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let len = self.encoded_len(payload)?;
        room(out, len)?.copy_from_slice(payload);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_frames_pass() {
        let mut codec = FixedLen::new(3);
        let kept = Kept::new(b"a");
        assert_eq!(codec.wait(kept, b"b"), Some(Hint::Total(3)));
        assert_eq!(codec.wait(kept, b"bc"), None);
        let mut out = [0; 3];
        assert_eq!(codec.encode(b"abc", &mut out), Ok(3));
        assert_eq!(codec.decode(&out), Ok(Decoded::Frame { frame: &b"abc"[..], consumed: 3 }));
        assert_eq!(
            codec.encode(b"ab", &mut out),
            Err(FrameError::WrongLength { len: 2, fixed: 3 })
        );
        assert_eq!(FixedLen::try_new(0), Err(FrameError::Empty));
    }
}
