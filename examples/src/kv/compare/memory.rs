//! What connections and values cost in memory.
#![forbid(unsafe_code)]

use super::process::Running;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

/// Bytes of a value of the spike.
pub(super) const VALUE: usize = 512;

/// One key in so many is kept.
pub(super) const KEPT: usize = 16;

/// Requests sent at once.
const BATCH: usize = 500;

/// Connections that may wait to be accepted: fewer than any server's backlog, for beyond it the system
/// tries again only after a second.
const WAITING: u32 = 64;

/// What was measured of one server's memory, in bytes.
#[derive(Debug)]
pub(super) struct Footprint {
    pub(super) connected: Connected,
    /// None for those that store nothing.
    pub(super) spiked: Option<Spiked>,
}

/// Memory of the whole process around many connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connected {
    /// After one client, which has left.
    pub(super) before: u64,
    /// While all are connected and have said nothing.
    pub(super) idle: u64,
    /// When each has had an answer.
    pub(super) served: u64,
    /// When all have left.
    pub(super) after: u64,
    pub(super) count: u64,
}

impl Connected {
    /// Bytes of an idle connection.
    pub(super) const fn each_idle(&self) -> u64 {
        self.idle.saturating_sub(self.before) / self.count
    }

    /// Bytes of a connection that was served.
    pub(super) const fn each_served(&self) -> u64 {
        self.served.saturating_sub(self.before) / self.count
    }
}

/// Memory of the whole process around a spike of values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spiked {
    /// With all of them.
    pub(super) peak: u64,
    /// When most were deleted.
    pub(super) after: u64,
    /// Bytes of keys and values that are left.
    pub(super) kept: u64,
}

/// Connects so many clients, serves each once, and lets them go.
pub(super) fn connections(server: &Running, count: u32) -> io::Result<Connected> {
    server.ping(&mut server.connect()?)?;
    thread::sleep(Duration::from_millis(200));
    let before = server.memory()?;
    let mut clients = Vec::with_capacity(count as usize);
    for index in 1..=count {
        clients.push(server.connect()?);
        if index % WAITING == 0 || index == count {
            // Answered when all that came before are accepted.
            server.ping(&mut server.connect()?)?;
        }
    }
    thread::sleep(Duration::from_millis(200));
    let idle = server.memory()?;
    for client in &mut clients {
        server.ping(client)?;
    }
    let served = server.memory()?;
    drop(clients);
    let after = server.settled_memory()?;
    Ok(Connected { before, idle, served, after, count: u64::from(count) })
}

fn key(index: usize) -> String {
    format!("key:{index:010}")
}

/// Stores values of so many bytes together, and deletes most of them.
pub(super) fn spike(server: &Running, bytes: usize) -> io::Result<Spiked> {
    let count = (bytes / VALUE).max(KEPT);
    let mut client = server.connect()?;
    let value = "v".repeat(VALUE);
    let keys: Vec<usize> = (0..count).collect();
    for batch in keys.chunks(BATCH) {
        let mut text = String::new();
        for &index in batch {
            let key = key(index);
            let _ = write!(
                text,
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${VALUE}\r\n{value}\r\n",
                key.len()
            );
        }
        ask(&mut client, text.as_bytes(), &b"+OK\r\n".repeat(batch.len()))?;
    }
    let peak = server.memory()?;
    let gone: Vec<usize> = keys.into_iter().filter(|index| index % KEPT != 0).collect();
    for batch in gone.chunks(BATCH) {
        let mut text = String::new();
        for &index in batch {
            let key = key(index);
            let _ = write!(text, "*2\r\n$3\r\nDEL\r\n${}\r\n{key}\r\n", key.len());
        }
        ask(&mut client, text.as_bytes(), &b":1\r\n".repeat(batch.len()))?;
    }
    let after = server.settled_memory()?;
    let kept = (count - gone.len()) * (VALUE + key(0).len());
    Ok(Spiked { peak, after, kept: kept as u64 })
}

/// Sends, and expects exactly this.
fn ask(client: &mut (impl Read + Write), request: &[u8], expected: &[u8]) -> io::Result<()> {
    client.write_all(request)?;
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got)?;
    if got != expected {
        let got = got[..got.len().min(80)].escape_ascii().to_string();
        return Err(io::Error::other(format!("an unexpected reply: {got}")));
    }
    Ok(())
}
