//! Ten thousand connections that say nothing, and client processes that are killed.

use crate::support::{self, Client, Kv, Owned, PATIENCE, array, installed};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{self, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Connections, if the system grants as many descriptors.
const CROWD: u64 = 10_000;

/// Connections of a rush, if the system lets as many wait to be accepted.
fn wanted() -> usize {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    let most = most.ok().and_then(|most| most.trim().parse().ok()).unwrap_or(600);
    if most < 600 {
        let _ = writeln!(io::stderr(), "REDUCED: net.core.somaxconn lets {most} connections wait");
    }
    most.min(600)
}

/// A client that is served as if it were alone.
fn is_served(client: &mut Client) {
    for _ in 0..20 {
        client.ask(b"SET a b\r\nGET a\r\n", b"+OK\r\n$1\r\nb\r\n");
    }
}

#[test]
fn ten_thousand_idle_connections() {
    let alone = support::crowd(CROWD);
    let crowd = alone.granted;
    for alloc in ["pool", "std"] {
        let kv = Kv::start(&["--alloc", alloc, "--max-connections", "10100"]);
        let mut busy = kv.client();
        let mut idle = Vec::new();
        for index in 1..=crowd {
            idle.push(kv.client());
            // So that the backlog does not run over: the system would wait a second then.
            if index % 64 == 0 {
                is_served(&mut busy);
                kv.wait_for("connected_clients", |clients| clients >= index);
            }
        }
        kv.wait_for("connected_clients", |clients| clients > crowd);
        // One in ten stops in the middle of a request; the others hold nothing.
        let (partial, silent) = idle.split_at_mut(crowd as usize / 10);
        for client in partial.iter_mut() {
            client.send(b"*2\r\n$4\r\nECHO\r\n$2\r\nh");
        }
        is_served(&mut busy);
        for client in silent.iter_mut().step_by(7) {
            client.ask(b"PING\r\n", b"+PONG\r\n");
        }
        for client in partial.iter_mut() {
            client.ask(b"i\r\n", b"$2\r\nhi\r\n");
        }
        // All but the one that asks: its own buffer is counted where there is one a connection.
        assert!(kv.figure("pool_inbox_bytes") <= 16 << 10, "{alloc}");
        drop(idle);
        kv.wait_for("connected_clients", |clients| clients == 2);
        is_served(&mut busy);
    }
}

/// A rush while the server does something else: nobody has to try again, a second later.
#[test]
fn a_rush_waits_in_the_backlog() {
    let wanted = wanted();
    for threads in ["1", "2"] {
        let kv = Kv::start(&["--threads", threads]);
        let process = Pid::from_raw(kv.process.0.id() as i32).unwrap();
        kill_process(process, Signal::STOP).unwrap();
        let address = ([127, 0, 0, 1], kv.port).into();
        let rush: Result<Vec<_>, _> =
            (0..wanted).map(|_| TcpStream::connect_timeout(&address, PATIENCE / 4)).collect();
        kill_process(process, Signal::CONT).unwrap();
        assert_eq!(rush.map(|clients| clients.len()).map_err(|error| error.kind()), Ok(wanted));
        kv.client().ask(b"PING\r\n", b"+PONG\r\n");
    }
}

#[test]
fn killed_client_processes_harm_nobody() {
    let Some(benchmark) = installed("redis-benchmark") else { return };
    for alloc in ["pool", "std"] {
        let kv = Kv::start(&["--alloc", alloc]);
        let mut bystander = kv.client();
        bystander.ask(&array(&[b"SET", b"key:000000000000", &[b'v'; 5000]]), b"+OK\r\n");
        // One key, so that the memory for data is not used up.
        for tests in ["set", "get", "mset", "get"] {
            let mut command = Command::new(&benchmark);
            command.args(["-p", &kv.port.to_string(), "-n", "100000000", "-c", "30", "-P", "16"]);
            command.args(["-d", "3000", "-r", "1", "-q", "-t", tests]);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let killed = Owned(child);
            kv.wait_for("connected_clients", |clients| clients >= 30);
            is_served(&mut bystander);
            thread::sleep(Duration::from_millis(100));
            // SIGKILL, in the middle of requests and of replies.
            drop(killed);
            is_served(&mut bystander);
            kv.wait_for("connected_clients", |clients| clients == 2);
        }
        // Nothing of theirs is left but the data.
        assert!(kv.figure("pool_inbox_bytes") <= 16 << 10, "{alloc}");
        assert_eq!(kv.figure("pool_outbox_bytes"), 0, "{alloc}");
        bystander.ask(b"FLUSHALL\r\nDBSIZE\r\n", b"+OK\r\n:0\r\n");
        assert_eq!(kv.figure("used_memory"), 0, "{alloc}");
    }
}
