//! `Conn`: what a connection keeps, and `Open`: what is known of the one that is being read.
#![forbid(unsafe_code)]

use super::entries::NO_ENTRY;
use crate::frame::Hint;
use crate::slots::NONE;
use core::marker::PhantomData;

/// A connection of a [`PacketRing`](crate::PacketRing), to be kept with its socket: 16 bytes, and all there is of a
/// connection without a partial.
///
/// It belongs to the ring that opened it and to that ring's thread. Dropping it frees nothing: give it
/// to [`PacketRing::close`](crate::PacketRing::close).
#[derive(Debug)]
#[must_use = "a partial stays in the ring until the connection is closed"]
pub struct Conn {
    pub(super) token: u32,
    /// The entry of its partial, or `IDLE`.
    pub(super) entry: u32,
    /// What that entry must say for the partial to be still there.
    pub(super) generation: u32,
    /// The first chunk of the partial, for `prefetch`.
    pub(super) chunk: u32,
    _of_one_thread: PhantomData<*const ()>,
}

/// `Conn::entry` of those without a partial.
pub(super) const IDLE: u32 = NO_ENTRY;

impl Conn {
    pub(super) const fn new(token: u32) -> Self {
        Self { token, entry: IDLE, generation: 0, chunk: NONE, _of_one_thread: PhantomData }
    }

    /// What the connection is called in reports of evictions.
    #[must_use]
    pub const fn token(&self) -> u32 {
        self.token
    }

    /// Whether it has nothing in the ring. Not so while there is a partial, or one was lost.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.entry == IDLE
    }

    #[inline(always)]
    pub(super) fn set_idle(&mut self) {
        self.entry = IDLE;
    }
}

/// What has been read and not been settled: a batch, open or forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) active: bool,
    /// The batch is over, and what is left stays in the scratch until another connection is read. There is
    /// room for it in the budget.
    pub(super) resting: bool,
    /// All of it was lent once more at the end of its stream, and nothing has come since.
    pub(super) offered: bool,
    /// Not yet taken: these bytes of the scratch, or of the block.
    pub(super) start: usize,
    pub(super) end: usize,
    /// What `start` was at first: behind it, another frame begins.
    pub(super) first: usize,
    /// Since when the frame at `start` waits, if that is not when its entry says.
    pub(super) since: Option<u32>,
    /// How many of them are known to be no whole frame.
    pub(super) seen: usize,
    /// Which decoder knows it.
    pub(super) seen_by: u64,
    /// `NONE` for the scratch.
    pub(super) block: u32,
    /// What the decoder said of the frame at `start`.
    pub(super) hint: Hint,
    /// The decoder has given the stream up.
    pub(super) failed: bool,
    /// The connection has had this entry before; otherwise it is promised to it.
    pub(super) has_entry: bool,
    pub(super) entry: u32,
    pub(super) generation: u32,
    pub(super) token: u32,
}

impl Open {
    pub(super) const NO: Self = Self {
        active: false,
        resting: false,
        offered: false,
        first: 0,
        since: None,
        start: 0,
        end: 0,
        seen: 0,
        seen_by: 0,
        block: NONE,
        hint: Hint::Unknown,
        failed: false,
        has_entry: false,
        entry: NO_ENTRY,
        generation: 0,
        token: 0,
    };
}
