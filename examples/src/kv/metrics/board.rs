//! Where loops publish and others read.
#![forbid(unsafe_code)]

use super::snapshot::Snapshot;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a loop publishes.
const EVERY: Duration = Duration::from_secs(1);

/// A gathering takes at most one part in so many of a loop's time.
const SHARE: u32 = 1000;

/// But it is never longer until the next: a loop that lost its processor meanwhile only seems to have taken
/// long.
const SELDOM: Duration = Duration::from_secs(10);

/// One loop's last snapshot.
type Slot = Arc<Mutex<Snapshot>>;

/// The last snapshots of all loops.
///
/// ```
/// use examples::kv::metrics::Board;
/// use std::time::Duration;
/// let board = Board::default();
/// let mut publisher = board.publisher();
/// assert!(publisher.is_due(Duration::ZERO));
/// publisher.publish(Duration::ZERO, |snapshot| snapshot.figure("clients", 3));
/// assert_eq!(board.read().get("clients"), Some(3));
/// assert!(!publisher.is_due(Duration::from_millis(999)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<Slot>>>);

impl Board {
    /// A place for one more loop.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        let slot = Slot::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(slot.clone());
        Publisher { slot, next: Duration::ZERO }
    }

    /// The sum of what all loops have published last.
    #[must_use]
    pub fn read(&self) -> Snapshot {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Snapshot::default();
        for slot in slots.iter() {
            all.add(&slot.lock().unwrap_or_else(PoisonError::into_inner));
        }
        all
    }
}

/// A loop's side.
#[derive(Debug)]
pub struct Publisher {
    slot: Slot,
    /// When the next one is due, since the server's start.
    next: Duration,
}

impl Publisher {
    /// Whether it is time to publish, so long after the server's start.
    #[inline]
    #[must_use]
    pub fn is_due(&self, since: Duration) -> bool {
        since >= self.next
    }

    /// How long a loop may sleep.
    #[must_use]
    pub fn wait(&self, since: Duration) -> Duration {
        self.next.saturating_sub(since)
    }

    /// Lets `gather` fill the snapshot, unless somebody reads it at this moment: then the next
    /// round does it.
    pub fn publish(&mut self, since: Duration, gather: impl FnOnce(&mut Snapshot)) {
        let Ok(mut snapshot) = self.slot.try_lock() else { return };
        let began = Instant::now();
        snapshot.begin();
        gather(&mut snapshot);
        snapshot.end();
        self.next = since + pause(began.elapsed());
    }
}

/// How long until the next gathering, after one that took so long.
fn pause(took: Duration) -> Duration {
    took.saturating_mul(SHARE).clamp(EVERY, SELDOM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_reader_does_not_stop_the_loop() {
        let board = Board::default();
        let mut publisher = board.publisher();
        let slot = publisher.slot.clone();
        let reading = slot.lock().unwrap();
        publisher.publish(Duration::ZERO, |_| panic!("it is being read"));
        assert!(publisher.is_due(Duration::ZERO));
        drop(reading);
        publisher.publish(Duration::ZERO, |snapshot| snapshot.figure("a", 1));
        assert_eq!((board.read().get("a"), publisher.wait(Duration::ZERO)), (Some(1), EVERY));
    }

    #[test]
    fn a_long_look_is_taken_less_often() {
        let mut publisher = Board::default().publisher();
        publisher.publish(Duration::ZERO, |_| thread::sleep(Duration::from_millis(5)));
        assert!(!publisher.is_due(Duration::from_secs(4)) && publisher.is_due(SELDOM));
        assert_eq!(pause(Duration::from_micros(10)), EVERY);
        assert_eq!(pause(Duration::from_millis(3)), Duration::from_secs(3));
        assert_eq!(pause(Duration::from_secs(60)), SELDOM);
    }

    #[test]
    fn loops_are_summed() {
        let board = Board::default();
        let mut publishers = [board.publisher(), board.publisher()];
        for publisher in &mut publishers {
            publisher.publish(Duration::ZERO, |snapshot| snapshot.figure("a", 2));
        }
        assert_eq!(board.read().get("a"), Some(4));
    }
}
