//! Frames: where one message of a stream ends and the next one begins.
//!
//! A [`Decoder`] looks at the bytes at the front of a stream and says: a whole frame, more bytes
//! are needed, or this can never become a frame. It borrows; it keeps and copies nothing. Every
//! decoder here is made with a **maximum length**: a length that comes from the network is compared with
//! it before anything else happens.
//!
//! | decoder | frame ends | knows its length early |
//! |---|---|---|
//! | [`LengthPrefix`] | where its header says: offset, width, byte order, adjustment, skip; or a varint | yes |
//! | [`Delimiter`] | at one or several given bytes | no; its search resumes where it stopped |
//! | [`Lines`] | at `\n` or `\r\n` | no; the same |
//! | [`FixedLen`] | after so many bytes | yes |
//!
//! An [`Encoder`] does the opposite with the same parameters.
#![forbid(unsafe_code)]

mod delimiter;
mod fixed;
mod length;
mod lines;

pub use delimiter::Delimiter;
pub use fixed::FixedLen;
pub use length::LengthPrefix;
pub use lines::Lines;

use thiserror::Error;

/// What a decoder saw at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<F> {
    /// A whole frame.
    Frame {
        /// What the user gets of it.
        frame: F,
        /// Bytes of the stream that it took, headers and delimiters included; at least 1 and at
        /// most what there was. Anything else is taken for the nearest of these.
        consumed: usize,
    },
    /// The frame is not whole yet.
    NeedMore(Hint),
}

/// How long a frame will be that is not whole yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// Nobody knows.
    #[default]
    Unknown,
    /// So many bytes from its first byte to its last, headers included. It is a claim of the peer,
    /// below the decoder's maximum, and no reason to reserve that much before it comes.
    ///
    /// It need not be exact. A frame that turns out longer, or a decoder that knows a least length only, costs another
    /// block and a copy, as if nothing had been said: what is announced and not more than what has come counts as
    /// [`Unknown`](Self::Unknown), for which blocks grow twofold. One that turns out shorter is cut out of the block, and what is behind
    /// it is moved on. Bytes are never lost by it.
    Total(usize),
}

impl Hint {
    /// What remains of it when `len` bytes have come and the frame is not whole: nothing, if it was to be.
    pub(crate) const fn beyond(self, len: usize) -> Self {
        match self {
            Self::Total(total) if total > len => self,
            _ => Self::Unknown,
        }
    }
}

/// What of a frame was kept when it was not whole, as far as it can be looked at without copying.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// Its first bytes: all of them, or at least 64.
    pub head: &'a [u8],
    /// Its last bytes, at least one.
    pub tail: &'a [u8],
    /// Its bytes in all.
    pub len: usize,
}

/// Finds frames at the front of a stream.
///
/// A decoder keeps nothing of a stream from call to call, so one serves all connections of a
/// protocol. Implementations are not trusted: what they answer is checked.
///
/// ```
/// use pool_ring::frame::{Decoded, Decoder, Hint};
///
/// /// One byte that says what follows: 0 nothing, 1 four bytes.
/// struct Commands;
///
/// impl Decoder for Commands {
///     type Frame<'a> = (u8, &'a [u8]);
///     type Error = u8;
///     fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<Self::Frame<'a>>, u8> {
///         let consumed = match bytes {
///             [] => return Ok(Decoded::NeedMore(Hint::Unknown)),
///             [0, ..] => 1,
///             [1, ..] => 5,
///             [other, ..] => return Err(*other),
///         };
///         Ok(match bytes.get(1..consumed) {
///             Some(rest) => Decoded::Frame { frame: (bytes[0], rest), consumed },
///             None => Decoded::NeedMore(Hint::Total(consumed)),
///         })
///     }
/// }
///
/// assert_eq!(Commands.decode(&[1, 2, 3]), Ok(Decoded::NeedMore(Hint::Total(5))));
/// assert_eq!(Commands.decode(&[0, 9]), Ok(Decoded::Frame { frame: (0, &[][..]), consumed: 1 }));
/// assert_eq!(Commands.decode(&[7]), Err(7));
/// ```
pub trait Decoder {
    /// What the user gets of a frame, mostly `&'a [u8]`.
    type Frame<'a>;
    /// Why a stream cannot go on.
    type Error;

    /// Looks for one frame that begins with the first of `bytes`.
    ///
    /// # Errors
    /// These bytes can never become a frame, or one that is too large. The stream is lost then.
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<Self::Frame<'a>>, Self::Error>;

    /// The same, where it is known that the first `seen` bytes alone are no frame, because an earlier
    /// call said so: a search need not begin anew.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    #[inline]
    fn decode_after<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: usize,
    ) -> Result<Decoded<Self::Frame<'a>>, Self::Error> {
        let _ = seen;
        self.decode(bytes)
    }

    /// Whether `kept` (of which [`decode`](Self::decode) asked for more) and `fresh` behind it may be
    /// a frame, or an error. `Some`: certainly not, so they need not be brought together before more
    /// has come. Without this a frame that trickles in is copied with every read, up to the length
    /// from which frames get a contiguous block.
    #[inline]
    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        let _ = (kept, fresh);
        None
    }
}

impl<D: Decoder + ?Sized> Decoder for &mut D {
    type Frame<'a> = D::Frame<'a>;
    type Error = D::Error;

    #[inline]
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<Self::Frame<'a>>, Self::Error> {
        (**self).decode(bytes)
    }

    #[inline]
    fn decode_after<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: usize,
    ) -> Result<Decoded<Self::Frame<'a>>, Self::Error> {
        (**self).decode_after(bytes, seen)
    }

    #[inline]
    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        (**self).wait(kept, fresh)
    }
}

/// Makes frames that the decoder of the same parameters takes apart.
///
/// ```
/// use pool_ring::frame::{Encoder, Lines};
/// let mut reply = [0; 16];
/// let len = Lines::new(80).encode(b"PONG", &mut reply)?;
/// assert_eq!(&reply[..len], b"PONG\r\n");
/// # Ok::<(), pool_ring::frame::FrameError>(())
/// ```
pub trait Encoder {
    /// Bytes of the frame that carries `payload`.
    ///
    /// # Errors
    /// The frame would be one that its decoder refuses.
    fn encoded_len(&self, payload: &[u8]) -> Result<usize, FrameError>;

    /// Writes the frame to the front of `out` and returns its length.
    ///
    /// # Errors
    /// The frame would be one that its decoder refuses, or `out` is too short; nothing was written
    /// then.
    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, FrameError>;
}

/// Why a stream holds no frame, or none can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame is, or says that it is, longer than the maximum.
    #[error("a frame of {len} bytes or more; at most {max} are allowed")]
    TooLarge {
        /// Bytes of the frame, as far as they are known.
        len: u64,
        /// The decoder's maximum.
        max: usize,
    },
    /// A length field says something that no frame can have: less than its own header, or a varint
    /// of more than 64 bits.
    #[error("a length field that no frame can have")]
    BadLength,
    /// A payload to be sent contains the delimiter.
    #[error("the payload contains the delimiter at byte {at}")]
    ContainsDelimiter {
        /// Where it begins.
        at: usize,
    },
    /// A payload to be sent does not have the fixed length.
    #[error("a payload of {len} bytes; frames have {fixed}")]
    WrongLength {
        /// Its bytes.
        len: usize,
        /// The bytes that it should have.
        fixed: usize,
    },
    /// The place to write to is too short.
    #[error("a frame of {len} bytes does not fit in {room}")]
    NoRoom {
        /// Bytes of the frame.
        len: usize,
        /// Bytes of the place.
        room: usize,
    },
    /// A delimiter of no bytes, or a fixed length of none.
    #[error("a delimiter or a fixed length of 0 bytes")]
    Empty,
}

/// How many of `len` bytes, which are not 0, a frame took that says `consumed`. A branch that is never taken: the next
/// frame need not wait for this one's length.
#[inline(always)]
pub(crate) fn checked(consumed: usize, len: usize) -> usize {
    #[cold]
    fn nearest(consumed: usize, len: usize) -> usize {
        consumed.clamp(1, len)
    }
    if consumed.wrapping_sub(1) < len { consumed } else { nearest(consumed, len) }
}

/// The front of `out`, if a frame of `len` bytes fits.
fn room(out: &mut [u8], len: usize) -> Result<&mut [u8], FrameError> {
    let room = out.len();
    out.get_mut(..len).ok_or(FrameError::NoRoom { len, room })
}

/// What constructors without `try_` do with an error.
#[cold]
#[track_caller]
fn refuse(error: FrameError) -> ! {
    panic!("{error}")
}
