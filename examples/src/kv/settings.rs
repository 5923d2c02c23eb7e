//! What the server is started with.
#![forbid(unsafe_code)]

use super::memory::Limits;
use super::patience::{self, LONGEST, Patience};
use super::resp::{MAX_BULK, MAX_LINE};
use super::store::Eviction;
use clap::{Parser, ValueEnum};
use std::net::SocketAddr;
use std::time::Duration;

/// Memory strategies; see `memory.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Alloc {
    /// The pool crates: a packet ring, an arena for each batch of requests, a heap of small objects for
    /// data, a slot table.
    Pool,
    /// The standard library's boxes and vectors.
    Std,
    /// mimalloc, in a build with the feature of that name.
    Mimalloc,
    /// jemalloc, in a build with the feature of that name.
    Jemalloc,
}

/// What the server is started with; sizes are bytes, or take a unit.
#[derive(Clone, Debug, Parser)]
#[command(name = "kv", version)]
pub struct Settings {
    /// TCP port; 0 picks a free one and prints it.
    #[arg(long, short, default_value_t = 6380)]
    pub port: u16,

    /// What the server's memory is made of.
    #[arg(long, value_enum, default_value_t = Alloc::Pool)]
    pub alloc: Alloc,

    /// Event loops, a thread each. Keys are shared out among them, and so are the budgets; commands over
    /// keys of several threads are one step on each of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,

    /// Counts calls of the system's allocator: INFO memory and the summary tell them. For tests: in steady
    /// state there are none with --alloc pool and one thread.
    #[arg(long)]
    pub count_calls: bool,

    /// With --alloc pool, never has its memory in huge pages, whatever the system gives to others: where it gives
    /// them unasked, the first byte of each 2 MiB takes all of them.
    #[arg(long)]
    pub no_huge_pages: bool,

    /// Connections served at once; more are told so and closed. The limit of descriptors is raised for them; where
    /// the system does not let it, they are fewer.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Longest request; a longer one is refused as soon as it is announced, and so is an argument of more than
    /// 512 MiB. What arrives must fit in --partials, and a reply in --buffers: both are a thread's share.
    #[arg(long, default_value = "513m", value_name = "BYTES", value_parser = frame)]
    pub max_frame: usize,

    /// Unsent replies kept for one connection before it is no longer read; one more reply may
    /// follow.
    #[arg(long, default_value = "16m", value_name = "BYTES", value_parser = size)]
    pub max_backlog: usize,

    /// Budget of stored keys and values, with their tables.
    #[arg(long, default_value = "1g", value_name = "BYTES", value_parser = size)]
    pub memory: usize,

    /// What becomes of a write beyond that budget.
    #[arg(long, value_enum, default_value_t = Eviction::None)]
    pub eviction: Eviction,

    /// Budget of requests that have not all arrived. When it is used up, whoever has let the server
    /// wait longest (a second at least) is closed, else the one that finds no room.
    #[arg(long, default_value = "1g", value_name = "BYTES", value_parser = size)]
    pub partials: usize,

    /// Budget of replies not yet read (three quarters of it at most), of connections and of the arena.
    /// When it is used up, whoever leaves most of it unread is closed (bytes times the seconds since it last
    /// read 4 MiB), else the one whose replies find no room. With several threads, as much again may be
    /// under way between them, values that RENAME and COPY move included; from an eighth of it on they wait for
    /// one another.
    #[arg(long, default_value = "2g", value_name = "BYTES", value_parser = size)]
    pub buffers: usize,

    /// Longest time without a request; 0 for no limit: an idle connection holds no buffer.
    #[arg(long, default_value = "0", value_name = "SECONDS", value_parser = seconds)]
    pub max_idle: Time,

    /// Longest time from the first byte of a request to its last; 0 for no limit.
    #[arg(long, default_value = "300", value_name = "SECONDS", value_parser = seconds)]
    pub max_partial_age: Time,

    /// Longest time in which a client reads less than 4 MiB of the replies that wait for it, and not all of
    /// them; 0 for no limit.
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = seconds)]
    pub max_unread_age: Time,

    /// Shows figures by HTTP at this address: a live page at /, Prometheus' text at /metrics, JSON at
    /// /figures.json. Give it an address of this machine alone: it asks nobody for a password.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
}

/// A limit of time. (A type of its own: clap takes an `Option` for an argument that may be missing.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub patience::Limit);

impl Settings {
    /// The defaults, on a free port: for tests and for servers inside another program.
    #[must_use]
    pub fn on_a_free_port() -> Self {
        Self::parse_from(["kv", "--port", "0"])
    }

    /// Limits in bytes.
    pub(super) const fn limits(&self) -> Limits {
        let &Self { max_frame, memory, partials, buffers, no_huge_pages, .. } = self;
        Limits { max_frame, memory, partials, buffers, no_huge_pages }
    }

    /// The longest argument in bytes.
    pub(super) fn max_bulk(&self) -> usize {
        self.max_frame.min(MAX_BULK)
    }

    /// Limits of time.
    pub(super) const fn patience(&self) -> Patience {
        let &Self { max_idle, max_partial_age, max_unread_age, .. } = self;
        Patience { idle: max_idle.0, partial: max_partial_age.0, unread: max_unread_age.0 }
    }

    /// What `CONFIG GET` knows.
    pub(super) fn parameters(&self) -> [(&'static str, String); 9] {
        let fixed = |text: &str| text.to_owned();
        [
            ("save", fixed("")),
            ("appendonly", fixed("no")),
            ("bind", fixed("127.0.0.1")),
            ("port", self.port.to_string()),
            ("maxclients", self.max_connections.to_string()),
            ("maxmemory", self.memory.to_string()),
            ("maxmemory-policy", fixed(self.eviction.policy())),
            ("proto-max-bulk-len", self.max_bulk().to_string()),
            ("databases", fixed("1")),
        ]
    }
}

/// `64k`, `16mb`, `1048576`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match lower.chars().last() {
        Some('k') => (&lower[..lower.len() - 1], 10),
        Some('m') => (&lower[..lower.len() - 1], 20),
        Some('g') => (&lower[..lower.len() - 1], 30),
        _ => (lower, 0),
    };
    let number: usize = digits.parse().map_err(|_| format!("{text:?} is not a size"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

/// `300`, `0.5`; 0 is no limit.
fn seconds(text: &str) -> Result<Time, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    let time = Duration::try_from_secs_f64(number).ok().filter(|time| *time <= LONGEST);
    let time = time.ok_or_else(|| format!("a time is between 0 and {} s", LONGEST.as_secs()))?;
    Ok(Time(Some(time).filter(|time| !time.is_zero())))
}

/// A size that a frame may have: two lines must fit, and offsets are 32 bits wide.
fn frame(text: &str) -> Result<usize, String> {
    let (least, most) = (2 * MAX_LINE, 1 << 30);
    let frame = size(text)?;
    if (least..=most).contains(&frame) {
        return Ok(frame);
    }
    Err(format!("a frame limit is between {least} and {most} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("64k"), Ok(65_536));
        assert_eq!(size("2GB"), Ok(2 << 30));
        assert_eq!(size("17"), Ok(17));
        for wrong in ["", "k", "-1", "1x", "99999999999g"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(frame("1k").is_err() && frame("2g").is_err());
    }

    #[test]
    fn times() {
        assert_eq!(seconds("0"), Ok(Time(None)));
        assert_eq!(seconds("0.5"), Ok(Time(Some(Duration::from_millis(500)))));
        for wrong in ["", "x", "-1", "NaN", "inf", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_defaults_parse() {
        let settings = Settings::on_a_free_port();
        assert_eq!(settings.patience().idle, None);
        assert_eq!(settings.patience().partial, Some(Duration::from_secs(300)));
        assert_eq!((settings.port, settings.max_frame), (0, 513 << 20));
        assert!(settings.max_frame >= MAX_BULK + MAX_LINE);
    }
}
