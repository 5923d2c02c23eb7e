//! Warnings that are seldom: what clients can cause must not fill a disk.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lets one warning a second through, and counts the others.
#[derive(Debug, Default)]
pub struct Seldom {
    /// When the last went through, in seconds since 1970.
    last: AtomicU64,
    /// Since then.
    suppressed: AtomicU64,
}

impl Seldom {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// Whether this one may go through: then how many were suppressed before it.
    #[cold]
    pub fn pass(&self) -> Option<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.pass_at(since.as_secs())
    }

    fn pass_at(&self, now: u64) -> Option<u64> {
        // Nothing depends on the order of these: at worst two warnings go through at once.
        if self.last.swap(now, Ordering::Relaxed) == now {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

/// `tracing::warn!`, once a second at most from each place in the program.
macro_rules! warn_seldom {
    ($($what:tt)*) => {{
        static SELDOM: $crate::kv::seldom::Seldom = $crate::kv::seldom::Seldom::new();
        if let Some(suppressed) = SELDOM.pass() {
            tracing::warn!(suppressed, $($what)*);
        }
    }};
}

pub(in crate::kv) use warn_seldom;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second() {
        let seldom = Seldom::new();
        assert_eq!(seldom.pass_at(100), Some(0));
        assert_eq!((seldom.pass_at(100), seldom.pass_at(100)), (None, None));
        assert_eq!(seldom.pass_at(101), Some(2));
        assert_eq!(seldom.pass_at(102), Some(0));
    }
}
