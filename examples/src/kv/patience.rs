//! How long a connection may do nothing, and what counts as that.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;
use std::time::Duration;
use thiserror::Error;

/// A time since the server's start in milliseconds. It wraps after 49 days; ages of up to half of
/// that come out right, and every connection is looked at more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(NonZeroU32);

impl Default for Moment {
    fn default() -> Self {
        Self::of(Duration::ZERO)
    }
}

impl Moment {
    /// The moment that is `since` the start.
    #[must_use]
    pub fn of(since: Duration) -> Self {
        // One in four billion is a millisecond late.
        Self(NonZeroU32::new(since.as_millis() as u32).unwrap_or(NonZeroU32::MIN))
    }

    /// Milliseconds from `earlier` to here.
    const fn since(self, earlier: Self) -> u32 {
        self.0.get().wrapping_sub(earlier.0.get())
    }

    /// Whole seconds from `earlier` to here.
    pub(super) const fn seconds_since(self, earlier: Self) -> u32 {
        self.since(earlier) / 1000
    }
}

/// Who reads so many bytes of the replies that wait for it, or all of them, has begun anew with
/// [`Patience::unread`]. Fewer would let a client hold much memory for long by reading a byte now and then.
pub const DRAIN: usize = 4 << 20;

/// A limit of time; `None` is none.
pub type Limit = Option<Duration>;

/// The longest limit: half of what a [`Moment`] can tell apart.
pub const LONGEST: Duration = Duration::from_millis(1 << 31);

/// Limits of time for each connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// Nothing is sent either way, and nothing is waited for.
    pub idle: Limit,
    /// From the first byte of a request to its last.
    pub partial: Limit,
    /// Replies wait, and the client takes fewer than [`DRAIN`] of their bytes, and not all.
    pub unread: Limit,
}

impl Patience {
    /// How often to look, so that a limit is exceeded by a quarter at most; `None` without limits.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        let shortest = [self.idle, self.partial, self.unread].into_iter().flatten().min()?;
        Some((shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1)))
    }
}

/// Which limit was passed; the text is what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Overdue {
    /// [`Patience::idle`].
    #[error("ERR closed: no request for longer than the server's idle limit")]
    Idle,
    /// [`Patience::partial`].
    #[error("ERR closed: the request has not become whole within the server's limit of time")]
    Partial,
    /// [`Patience::unread`]. (Nobody is told: who does not read does not read this.)
    #[error("ERR closed: replies were not read, or too slowly")]
    Unread,
}

/// Since when a connection is what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When it came or last sent anything.
    heard: Moment,
    /// When its partial request began.
    partial: Option<Moment>,
    /// Since when it has taken `read` bytes of the replies that wait for it.
    unread: Option<Moment>,
    /// Less than [`DRAIN`].
    read: u32,
}

impl Times {
    pub(super) const fn new(now: Moment) -> Self {
        Self { heard: now, partial: None, unread: None, read: 0 }
    }

    /// Bytes have come.
    #[inline]
    pub(super) const fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    /// A request was whole.
    #[inline]
    pub(super) const fn whole(&mut self) {
        self.partial = None;
    }

    /// There is a part of a request.
    #[inline]
    pub(super) fn begun(&mut self, now: Moment) {
        self.partial.get_or_insert(now);
    }

    /// Not all replies could be sent.
    pub(super) fn left(&mut self, now: Moment) {
        self.unread.get_or_insert(now);
    }

    /// So many bytes of waiting replies could; since when it has taken too few.
    pub(super) fn took(&mut self, bytes: usize, now: Moment) -> Moment {
        match bytes.checked_add(self.read as usize) {
            Some(read) if read < DRAIN => self.read = read as u32,
            _ => (self.read, self.unread) = (0, Some(now)),
        }
        *self.unread.get_or_insert(now)
    }

    /// All could.
    pub(super) const fn took_all(&mut self, now: Moment) {
        (self.heard, self.unread, self.read) = (now, None, 0);
    }

    /// How long a part of a request has waited for the rest.
    pub(super) fn partial_age(&self, now: Moment) -> Option<Duration> {
        let since = self.partial?;
        Some(Duration::from_millis(u64::from(now.since(since))))
    }

    /// The limit that was passed, if one was.
    pub(super) fn overdue(&self, now: Moment, patience: &Patience) -> Option<Overdue> {
        let passed = |limit: Limit, since: Moment| {
            limit.is_some_and(|limit| u128::from(now.since(since)) > limit.as_millis())
        };
        // Who does not read is not read either, so its request is not late.
        if let Some(since) = self.unread {
            return passed(patience.unread, since).then_some(Overdue::Unread);
        }
        if let Some(since) = self.partial {
            return passed(patience.partial, since).then_some(Overdue::Partial);
        }
        passed(patience.idle, self.heard).then_some(Overdue::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn limits() -> Patience {
        Patience { idle: Some(at(1000)), partial: Some(at(300)), unread: Some(at(500)) }
    }

    #[test]
    fn each_limit_has_its_clock() {
        let (limits, m) = (limits(), |millis| Moment::of(at(millis)));
        let mut times = Times::new(m(10));
        assert_eq!(times.overdue(m(1010), &limits), None);
        assert_eq!(times.overdue(m(1011), &limits), Some(Overdue::Idle));
        times.begun(m(2000));
        // More bytes of the same request make it no younger.
        times.heard(m(2250));
        times.begun(m(2250));
        assert_eq!(times.overdue(m(2300), &limits), None);
        assert_eq!(times.overdue(m(2301), &limits), Some(Overdue::Partial));
        times.left(m(2301));
        times.left(m(2600));
        assert_eq!(times.overdue(m(2801), &limits), None);
        assert_eq!(times.overdue(m(2802), &limits), Some(Overdue::Unread));
        times.took(DRAIN, m(2802));
        assert_eq!(times.overdue(m(3302), &limits), None);
        times.took_all(m(3302));
        times.whole();
        assert_eq!(times.overdue(m(4302), &limits), None);
        assert_eq!(times.overdue(m(4303), &limits), Some(Overdue::Idle));
        assert_eq!(times.overdue(m(1 << 30), &Patience::default()), None);
    }

    #[test]
    fn a_sip_now_and_then_is_too_little() {
        let (limits, m) = (limits(), |millis| Moment::of(at(millis)));
        let mut times = Times::new(m(10));
        times.left(m(1000));
        assert_eq!(times.took(DRAIN / 2, m(1300)), m(1000));
        assert_eq!(times.took(DRAIN / 2 - 1, m(1400)), m(1000));
        assert_eq!(times.overdue(m(1500), &limits), None);
        assert_eq!(times.overdue(m(1501), &limits), Some(Overdue::Unread));
        assert_eq!(times.took(1, m(1450)), m(1450));
        assert_eq!(times.took(DRAIN - 1, m(1500)), m(1450));
        assert_eq!(times.took(usize::MAX, m(1600)), m(1600));
        times.took(DRAIN - 1, m(1700));
        // What was read of earlier replies is not counted again.
        times.took_all(m(1800));
        times.left(m(1900));
        assert_eq!(times.took(1, m(2000)), m(1900));
    }

    #[test]
    fn the_clock_may_wrap() {
        let before = Times::new(Moment::of(at(u64::from(u32::MAX) - 100)));
        let after = |millis: u64| Moment::of(at((1 << 32) + millis));
        assert_eq!(before.overdue(after(800), &limits()), None);
        assert_eq!(before.overdue(after(950), &limits()), Some(Overdue::Idle));
    }

    #[test]
    fn looks_are_a_quarter_of_the_shortest_limit_apart() {
        assert_eq!(limits().interval(), Some(at(75)));
        assert_eq!(
            Patience { idle: Some(at(3_600_000)), ..Patience::default() }.interval(),
            Some(at(1000))
        );
        assert_eq!(Patience::default().interval(), None);
    }
}
