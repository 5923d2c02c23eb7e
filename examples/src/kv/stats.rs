//! Counters that `INFO` shows and the summary repeats.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Instant;

/// What happened since the start.
#[derive(Clone, Copy, Debug)]
pub struct Stats {
    /// When the server started.
    pub started: Instant,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused at the limit.
    pub rejected: u64,
    /// Connections open now.
    pub clients: u64,
    /// Requests executed.
    pub commands: u64,
    /// Error replies.
    pub errors: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// `GET`s that found a value.
    pub hits: u64,
    /// `GET`s that found none.
    pub misses: u64,
    /// Times a connection was not read because of its unsent replies.
    pub pauses: u64,
    /// Connections closed because they had passed a limit of time.
    pub overdue: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            accepted: 0,
            rejected: 0,
            clients: 0,
            commands: 0,
            errors: 0,
            received: 0,
            sent: 0,
            hits: 0,
            misses: 0,
            pauses: 0,
            overdue: 0,
        }
    }
}

impl Stats {
    /// These and those of another thread.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (own, more) in [
            (&mut self.accepted, other.accepted),
            (&mut self.rejected, other.rejected),
            (&mut self.clients, other.clients),
            (&mut self.commands, other.commands),
            (&mut self.errors, other.errors),
            (&mut self.received, other.received),
            (&mut self.sent, other.sent),
            (&mut self.hits, other.hits),
            (&mut self.misses, other.misses),
            (&mut self.pauses, other.pauses),
            (&mut self.overdue, other.overdue),
        ] {
            *own += more;
        }
        self
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, commands, errors, received, sent, .. } = self;
        let seconds = self.started.elapsed().as_secs_f64();
        write!(
            f,
            "{commands} commands ({errors} errors) from {accepted} connections in {seconds:.1} s; \
             {received} bytes in, {sent} bytes out"
        )
    }
}
