//! A thread that makes caches decay while nobody calls.
#![forbid(unsafe_code)]

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::io;
use std::thread::{self, JoinHandle};

/// Keeps a decay thread running; dropping it ends the thread and waits for that.
///
/// Made by [`Cache::decay_in_background`](crate::Cache::decay_in_background) and
/// [`Global::decay_in_background`](crate::Global::decay_in_background). A `fork`ed child has no such
/// thread; dropping the guard there does nothing.
#[derive(Debug)]
#[must_use = "the thread ends when this is dropped"]
pub struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The process whose thread it is.
    process: u32,
}

impl Background {
    /// Calls `tick` every `interval` until it says `false`.
    pub(crate) fn spawn(
        interval: Duration,
        mut tick: impl FnMut() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let interval = interval.max(Duration::from_millis(1));
        let run = move || {
            // Relaxed: nothing is handed over; the join orders what comes after.
            while !stopped.load(Relaxed) && tick() {
                thread::park_timeout(interval);
            }
        };
        let thread = thread::Builder::new().name("pool-decay".into()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread), process: std::process::id() })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let Some(thread) = self.thread.take() else { return };
        if self.process != std::process::id() {
            // A forked child has no such thread, and nothing to wait for.
            core::mem::forget(thread);
            return;
        }
        thread.thread().unpark();
        // Dropped on its own thread, it could wait for ever.
        if thread.thread().id() != thread::current().id() {
            drop(thread.join());
        }
    }
}
