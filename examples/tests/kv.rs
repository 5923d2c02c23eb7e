//! The server as a program: its replies to the byte, its limits, and real Redis clients.
#![forbid(unsafe_code)]

#[path = "kv/clients.rs"]
mod clients;
#[path = "kv/commands.rs"]
mod commands;
#[path = "kv/compare.rs"]
mod compare;
#[path = "kv/crowd.rs"]
mod crowd;
#[path = "kv/differential.rs"]
mod differential;
#[path = "kv/exhaustion.rs"]
mod exhaustion;
#[path = "kv/harm.rs"]
mod harm;
#[path = "kv/limits.rs"]
mod limits;
#[path = "kv/many.rs"]
mod many;
#[path = "kv/memory.rs"]
mod memory;
#[path = "kv/metrics.rs"]
mod metrics;
#[path = "kv/protocol.rs"]
mod protocol;
#[path = "kv/redis_py.rs"]
mod redis_py;
#[path = "kv/support.rs"]
mod support;
#[path = "kv/threads.rs"]
mod threads;
