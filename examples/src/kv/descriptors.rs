//! A descriptor for each connection: the system's limit, and what it leaves.
#![forbid(unsafe_code)]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside the connections: standard streams, who asks for figures, who is told that there are too
/// many.
const SPARE: u64 = 32;

/// Of each event loop: a poll, a waker, a listener.
const OF_A_THREAD: u64 = 3;

/// Raises this process' limit of descriptors for so many connections, as far as it is too low and the system
/// lets it; how many connections it is enough for.
#[must_use]
pub fn provide(connections: u32, threads: u16) -> u32 {
    let beside = SPARE + OF_A_THREAD * u64::from(threads);
    let granted = raise(u64::from(connections) + beside);
    u32::try_from(granted.saturating_sub(beside)).unwrap_or(u32::MAX).clamp(1, connections)
}

/// Raises the limit to so many if need be; what it is then.
pub(super) fn raise(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let target = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    if current >= target {
        return current;
    }
    let raised = Rlimit { current: Some(target), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_or(current, |()| target)
}
