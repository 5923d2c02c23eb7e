//! Many connections: what they cost.

use crate::support::Kv;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

/// So many, if this process may have so many descriptors; else as many as it may, and it says so.
fn many() -> u64 {
    const WANTED: u64 = 10_000;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft = line.split_whitespace().next().unwrap().parse().unwrap_or(u64::MAX);
    let many = WANTED.min(soft.saturating_sub(100));
    if many < WANTED {
        // Not `eprintln!`, which the test harness keeps to itself when a test passes.
        let _ = writeln!(io::stderr(), "{many} connections instead of {WANTED}: see ulimit -n");
    }
    many
}

/// Bytes of private memory of a process, the system's page tables and sockets apart.
fn private_bytes(kv: &Kv) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", kv.process.0.id());
    let text = std::fs::read_to_string(path).unwrap();
    let of = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    };
    (of("Private_Dirty:") + of("Anonymous:")) / 2 * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_costs_at_most_256_bytes() {
    let many = many();
    let kv = Kv::start(&["--alloc", "pool", "--max-connections", "10100"]);
    let rush = || (0..many).map(|_| kv.client()).collect::<Vec<_>>();
    // What is made at the first use is not a connection's.
    kv.client().ask(b"PING\r\n", b"+PONG\r\n");
    kv.wait_for("connected_clients", |clients| clients == 1);
    let base = private_bytes(&kv);
    let mut clients = rush();
    kv.wait_for("connected_clients", |clients| clients == many + 1);
    // Pages of the tables, of which the last ones are not full.
    let allowed = many * 256 + (64 << 10);
    let idle = private_bytes(&kv) - base;
    assert!(idle <= allowed, "{idle} bytes for {many} idle connections");
    for client in &mut clients {
        client.ask(b"PING\r\n", b"+PONG\r\n");
    }
    let served = private_bytes(&kv) - base;
    assert!(served <= allowed, "{served} bytes for {many} connections after a request each");
    assert_eq!(kv.figure("pool_inbox_used"), 0);
    assert_eq!(kv.figure("pool_outbox_bytes"), 0);
    println!(
        "{} B idle, {} B after a request each, for each of {many}",
        idle / many,
        served / many
    );
    drop(clients);
    kv.wait_for("connected_clients", |clients| clients == 1);
    // The caches beneath give back what nobody has asked for in a while.
    let began = Instant::now();
    loop {
        let after = private_bytes(&kv);
        if after <= base + base / 10 {
            break;
        }
        let waited = began.elapsed();
        assert!(
            waited < Duration::from_secs(20),
            "{after} bytes are left, {base} before they came"
        );
        thread::sleep(Duration::from_millis(100));
    }
}
