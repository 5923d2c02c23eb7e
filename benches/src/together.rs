//! Threads that work at the same time: each on a processor of its own, where there are enough. Without that
//! the system often lets two short runs follow each other on one processor, and nobody ever meets anybody.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The calling thread on one processor, until this is dropped.
#[derive(Debug)]
pub struct Pinned(());

impl Pinned {
    /// On the processor of this number, counted from 0 among those that the process may use, if there are so many.
    #[must_use]
    pub fn to(number: usize) -> Self {
        system::pin(number);
        Self(())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        system::unpin();
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::sync::LazyLock;

    /// What the process may use, as it was before anybody was pinned.
    static ALL: LazyLock<Option<CpuSet>> = LazyLock::new(|| sched_getaffinity(None).ok());

    pub(super) fn processors() -> usize {
        ALL.map_or(0, |all| all.count() as usize)
    }

    pub(super) fn pin(number: usize) {
        let Some(all) = *ALL else { return };
        let mut own = CpuSet::new();
        if let Some(one) = (0..CpuSet::MAX_CPU).filter(|&one| all.is_set(one)).nth(number) {
            own.set(one);
            // If that is refused everything stays as it is.
            let _ = sched_setaffinity(None, &own);
        }
    }

    pub(super) fn unpin() {
        let _ = ALL.map(|all| sched_setaffinity(None, &all));
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn processors() -> usize {
        0
    }
    pub(super) fn pin(_: usize) {}
    pub(super) fn unpin() {}
}

/// Where threads wait for each other before they begin.
#[derive(Debug)]
pub struct Start {
    threads: usize,
    here: AtomicUsize,
}

/// When a thread began, and when it ended.
#[derive(Clone, Copy, Debug)]
pub struct Span(Instant, Instant);

impl Start {
    /// Does the work as soon as all threads are here.
    pub fn together<R>(&self, work: impl FnOnce() -> R) -> (R, Span) {
        self.here.fetch_add(1, Ordering::AcqRel);
        let mut looks = 0_u32;
        // Whoever slept would come too late: the others would have done half of their work.
        while self.here.load(Ordering::Acquire) < self.threads {
            looks += 1;
            if looks % 1024 == 0 {
                thread::yield_now();
            }
            spin_loop();
        }
        let start = Instant::now();
        let result = work();
        (result, Span(start, Instant::now()))
    }
}

/// Lets so many threads, numbered from 0, do `work` at once: what it gives to [`Start::together`] is what is
/// measured, from the first one's start to the last one's end.
///
/// # Panics
/// If a thread does.
pub fn at_once(threads: usize, work: impl Fn(usize, &Start) -> Span + Sync) -> Duration {
    let start = Start { threads, here: AtomicUsize::new(0) };
    let own = threads <= system::processors();
    let spans: Vec<Span> = thread::scope(|scope| {
        let run = |number| {
            let (work, start) = (&work, &start);
            scope.spawn(move || {
                let _pinned = own.then(|| Pinned::to(number));
                work(number, start)
            })
        };
        let threads: Vec<_> = (0..threads).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread fails")).collect()
    });
    let first = spans.iter().map(|span| span.0).min().expect("a thread");
    spans.iter().map(|span| span.1).max().expect("a thread") - first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_there_before_anybody_begins() {
        for threads in [1, 2, 5] {
            let (ready, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let elapsed = at_once(threads, |number, start| {
                assert!(number < threads);
                ready.fetch_add(1, Ordering::SeqCst);
                let (seen, span) = start.together(|| ready.load(Ordering::SeqCst));
                assert_eq!(seen, threads);
                done.fetch_add(1, Ordering::SeqCst);
                span
            });
            assert_eq!(done.into_inner(), threads);
            assert!(elapsed < Duration::from_secs(60));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_is_pinned_is_where_it_should_be_and_free_afterwards() {
        use rustix::thread::sched_getaffinity;
        let before = sched_getaffinity(None).expect("Linux has it").count();
        let pinned = Pinned::to(0);
        assert_eq!(sched_getaffinity(None).expect("as above").count(), 1);
        drop(pinned);
        assert_eq!(sched_getaffinity(None).expect("as above").count(), before);
        // There are not so many.
        let _pinned = Pinned::to(1 << 20);
        assert_eq!(sched_getaffinity(None).expect("as above").count(), before);
    }
}
