//! Many connections: what they cost. Without huge pages: where the system gives those unasked, by chance and
//! in the background, one byte that is used is 2 MiB, which tells nothing of connections.

use crate::support::{Kv, PATIENCE, crowd};
use std::thread;
use std::time::{Duration, Instant};

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

/// Where the memory is: the largest private mappings, and what the pools say.
fn whereabouts(kv: &Kv) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps", kv.process.0.id())).unwrap();
    let (mut mappings, mut name) = (Vec::new(), "");
    for line in text.lines() {
        match line.split_once(':') {
            Some(("Private_Dirty", size)) => {
                let size: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
                mappings.push((size, name, 0));
            }
            Some(("AnonHugePages", size)) => {
                let size: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
                mappings.last_mut().unwrap().2 = size;
            }
            _ if line.split_whitespace().nth(1).is_some_and(|rights| rights.len() == 4) => {
                name = line;
            }
            _ => {}
        }
    }
    mappings.sort_unstable_by(|one, other| other.cmp(one));
    let mut out = "private KiB, of them huge, mapping:\n".to_owned();
    for (size, name, huge) in mappings.iter().take(12) {
        out += &format!("{size:8} {huge:8} {name}\n");
    }
    let info = kv.client().info();
    out.extend(info.lines().filter(|line| line.starts_with("pool_")).flat_map(|line| [line, "\n"]));
    out
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_costs_at_most_256_bytes() {
    let alone = crowd(10_000);
    let many = alone.granted;
    let kv = Kv::start(&["--alloc", "pool", "--max-connections", "10100", "--no-huge-pages"]);
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
    assert!(idle <= allowed, "{idle} bytes for {many} idle connections\n{}", whereabouts(&kv));
    for client in &mut clients {
        client.ask(b"PING\r\n", b"+PONG\r\n");
    }
    let served = private_bytes(&kv) - base;
    assert!(
        served <= allowed,
        "{served} bytes for {many} connections after a request each\n{}",
        whereabouts(&kv)
    );
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
            waited < PATIENCE,
            "{after} bytes are left, {base} before they came\n{}",
            whereabouts(&kv)
        );
        thread::sleep(Duration::from_millis(100));
    }
}
