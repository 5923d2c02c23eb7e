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

use crate::packet::Chain;
use core::fmt;
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

/// What of a frame was kept when it was not whole, as far as it can be looked at without copying.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// Its first bytes: all of them, or at least 64.
    pub head: &'a [u8],
    /// Its last bytes, at least one.
    pub tail: &'a [u8],
    /// Its bytes in all.
    pub len: usize,
    chain: Option<Chain<'a>>,
}

impl<'a> Kept<'a> {
    /// For tests of decoders: all that was kept, in one piece.
    ///
    /// ```
    /// use pool_ring::frame::{Decoder, FixedLen, Hint, Kept};
    /// assert_eq!(FixedLen::new(4).wait(Kept::new(b"wo"), b"r"), Some(Hint::Total(4)));
    /// assert_eq!(FixedLen::new(4).wait(Kept::new(b"wo"), b"rd"), None);
    /// ```
    #[must_use]
    pub const fn new(all: &'a [u8]) -> Self {
        Self { head: all, tail: all, len: all.len(), chain: None }
    }

    #[inline(always)]
    pub(crate) const fn of_chain(
        head: &'a [u8],
        tail: &'a [u8],
        len: usize,
        chain: Chain<'a>,
    ) -> Self {
        Self { head, tail, len, chain: Some(chain) }
    }

    /// Copies the bytes from `at` on, wherever they are, as many as there are and as `out` has; returns how many. For
    /// headers that do not stand at the front.
    ///
    /// ```
    /// use pool_ring::frame::Kept;
    /// let mut word = [0; 4];
    /// assert_eq!((Kept::new(b"abcdef").copy_at(3, &mut word), &word), (3, b"def\0"));
    /// ```
    ///
    /// # Complexity
    /// O(at / bytes of a chunk), and O(bytes copied).
    pub fn copy_at(&self, at: usize, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len.saturating_sub(at));
        let out = &mut out[..count];
        match (self.head.get(at..).and_then(|head| head.get(..count)), self.chain) {
            (Some(here), _) => out.copy_from_slice(here),
            // A chain is a circle, and followed as far as `at` says.
            (None, Some(chain)) if count > 0 => chain.copy_to(at, out),
            (None, _) => return 0,
        }
        count
    }
}

impl fmt::Debug for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, tail, len, .. } = self;
        f.debug_struct("Kept").field("head", head).field("tail", tail).field("len", len).finish()
    }
}

/// A number for [`Decoder::identity`]: of a protocol's name, and of whatever else decides which bytes are frames. Never 0.
///
/// ```
/// use pool_ring::frame::identity;
/// const RESP: u64 = identity(b"resp", 3);
/// assert_ne!(RESP, identity(b"resp", 2));
/// ```
#[must_use]
pub const fn identity(name: &[u8], parameter: u64) -> u64 {
    // FNV-1a, and a round of mixing: decoders are few, and peers do not choose them.
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    let hash = (hash ^ parameter).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash ^ hash >> 32) | 1 << 63
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

    /// Tells this decoder from others on the same stream: what one has seen to be no frame may be one for another. A search is
    /// resumed by [`decode_after`](Self::decode_after), and [`wait`](Self::wait) is asked, only where the decoder that asked for more
    /// gave the same number, and not 0. So those that give the same one agree about what is a frame, but for its
    /// maximum: an [`identity`] of their protocol and its parameters. With 0, the default, every look is the first.
    ///
    /// A packet ring tells [`DECODERS`](crate::PacketRing::DECODERS) numbers apart; beyond those every look is the first, until nobody has a partial.
    #[inline]
    fn identity(&self) -> u64 {
        0
    }

    /// The same, where it is known that the first `seen` bytes alone are no frame, because an earlier
    /// call, of a decoder of the same [`identity`](Self::identity), said so: a search need not begin anew.
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

    /// Whether `kept` (of which [`decode`](Self::decode), of the same [`identity`](Self::identity), asked for more) and `fresh`
    /// behind it may be a frame, or an error. `Some`: certainly not, so they need not be brought together before more
    /// has come. If it panics what was read just now is lost: the connection is to be closed. Without this a frame that trickles in is copied with every read, up to the length
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
    fn identity(&self) -> u64 {
        (**self).identity()
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
