//! What the server is started with.
#![forbid(unsafe_code)]

use super::resp::MAX_LINE;
use super::store::Eviction;
use clap::{Parser, ValueEnum};

/// Memory strategies; see `memory.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Alloc {
    /// The pool crates: an arena for each batch of requests.
    Pool,
    /// The standard library's boxes and vectors.
    Std,
}

/// A key-value server that any Redis client can use, on 127.0.0.1.
///
/// It knows strings, lists, hashes, sets and sorted sets, keys that end, and one database, over RESP2 and RESP3 (COMMAND LIST has the
/// names). It keeps everything in memory: no persistence, no replication. Sizes are bytes, or take a
/// unit: 64k, 16m, 2g.
#[derive(Clone, Debug, Parser)]
#[command(name = "kv", version)]
pub struct Settings {
    /// TCP port; 0 picks a free one and prints it.
    #[arg(long, short, default_value_t = 6380)]
    pub port: u16,

    /// What the server's memory is made of.
    #[arg(long, value_enum, default_value_t = Alloc::Pool)]
    pub alloc: Alloc,

    /// Connections served at once; more are told so and closed.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Longest request; a longer one is refused as soon as it is announced.
    #[arg(long, default_value = "64m", value_name = "BYTES", value_parser = frame)]
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

    /// Budget of connections' buffers and of the arena: requests that have not all arrived, replies
    /// not yet read. A connection that finds it used up is closed.
    #[arg(long, default_value = "1g", value_name = "BYTES", value_parser = size)]
    pub buffers: usize,
}

impl Settings {
    /// The defaults, on a free port: for tests and for servers inside another program.
    #[must_use]
    pub fn on_a_free_port() -> Self {
        Self::parse_from(["kv", "--port", "0"])
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
            ("proto-max-bulk-len", self.max_frame.to_string()),
            ("databases", fixed("1")),
        ]
    }
}

/// `64k`, `16mb`, `1048576`.
fn size(text: &str) -> Result<usize, String> {
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
    fn the_defaults_parse() {
        let settings = Settings::on_a_free_port();
        assert_eq!((settings.port, settings.max_frame), (0, 64 << 20));
    }
}
