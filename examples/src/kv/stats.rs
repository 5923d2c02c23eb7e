//! Counters that `INFO` shows and the summary repeats.
#![forbid(unsafe_code)]

use super::reply::Human;
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
    /// What the pools did, at the end.
    pub pools: Pools,
}

/// What the pools did, for the summary: in bytes unless it says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pools {
    /// The most that was charged for data.
    pub data_peak: u64,
    /// What the heap of data holds for it.
    pub data_held: u64,
    /// Blocks of data that were moved together.
    pub moved: u64,
    /// The most that partials took.
    pub partials_peak: u64,
    /// Partials that had to make room.
    pub evictions: u64,
    /// What the batch keeps.
    pub batch_held: u64,
    /// The most pages in use at once.
    pub pages_peak: u64,
    /// How often pages were asked for.
    pub acquired: u64,
}

impl Pools {
    /// Takes note of a figure that is one of these.
    pub fn note(&mut self, name: &str, value: u64) {
        match name {
            "data_held_bytes" => self.data_held = value,
            "inbox_peak" => self.partials_peak = value,
            "inbox_evictions" => self.evictions = value,
            "batch_held_bytes" => self.batch_held = value,
            "peak_bytes" => self.pages_peak = value,
            "acquired" => self.acquired = value,
            _ => {}
        }
    }
}

impl fmt::Display for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let human = |bytes: u64| Human(bytes as usize);
        let Self { moved, evictions, acquired, .. } = self;
        writeln!(
            f,
            "  data      {} at the most, {} held at the end, {moved} blocks moved together",
            human(self.data_peak),
            human(self.data_held),
        )?;
        writeln!(f, "  partials  {} at the most, {evictions} evicted", human(self.partials_peak),)?;
        writeln!(f, "  batch     {} kept from one to the next", human(self.batch_held))?;
        writeln!(f, "  pages     {} at the most, acquired {acquired} times", human(self.pages_peak))
    }
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
            pools: Pools::default(),
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
            (&mut self.pools.data_peak, other.pools.data_peak),
            (&mut self.pools.data_held, other.pools.data_held),
            (&mut self.pools.moved, other.pools.moved),
            (&mut self.pools.partials_peak, other.pools.partials_peak),
            (&mut self.pools.evictions, other.pools.evictions),
            (&mut self.pools.batch_held, other.pools.batch_held),
            (&mut self.pools.pages_peak, other.pools.pages_peak),
            (&mut self.pools.acquired, other.pools.acquired),
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
