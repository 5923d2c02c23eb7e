//! Limits hold, and whoever meets them harms nobody else.

use crate::support::{Client, Kv, PATIENCE, array, bulk, run};
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Nobody has a request that is not whole.
const NONE: fn(u64) -> bool = |partials| partials == 0;

#[test]
fn idle_connections_hold_no_buffer() {
    // Of plain memory, the connection that asks has one.
    for (alloc, figure, asking) in
        [("pool", "pool_inbox_partials", 0), ("std", "pool_inbox_buffers", 1)]
    {
        let kv = Kv::start(&["--alloc", alloc]);
        let mut clients: Vec<_> = (0..200).map(|_| kv.client()).collect();
        for client in &mut clients {
            client.ask(b"PING\r\n", b"+PONG\r\n");
        }
        kv.wait_for(figure, |buffers| buffers == asking);
        kv.wait_for("connected_clients", |clients| clients == 201);
        for client in &mut clients {
            client.send(b"*2\r\n$4\r\nECHO\r\n$5\r\nwo");
        }
        kv.wait_for(figure, |buffers| buffers == 200 + asking);
        for client in &mut clients {
            client.ask(b"rld\r\n", b"$5\r\nworld\r\n");
        }
        kv.wait_for(figure, |buffers| buffers == asking);
    }
}

#[test]
fn a_partial_costs_the_chunks_that_it_fills() {
    let kv = Kv::start(&[]);
    let mut clients: Vec<_> = (0..100).map(|_| kv.client()).collect();
    for client in &mut clients {
        client.send(&[&b"*2\r\n$4\r\nECHO\r\n$600\r\n"[..], &[b'x'; 400]].concat());
    }
    kv.wait_for("pool_inbox_partials", |partials| partials == 100);
    // Two chunks of 256 bytes, a link each, and an entry.
    assert_eq!(kv.figure("pool_inbox_used"), 100 * (26 + 2 * 260));
    drop(clients);
    kv.wait_for("pool_inbox_used", NONE);
}

#[test]
fn a_slow_reader_is_paused_and_loses_nothing() {
    let kv = Kv::start(&["--max-backlog", "4m"]);
    let value = vec![b'v'; 1 << 20];
    let mut slow = kv.client();
    slow.ask(&array(&[b"SET", b"big", &value]), b"+OK\r\n");
    let requests = 100;
    slow.send(&b"GET big\r\n".repeat(requests));
    kv.wait_for("paused_connections", |pauses| pauses > 0);
    // 4 MiB and one more reply, in a run that doubles.
    assert!(kv.figure("pool_outbox_bytes") <= 8 << 20);
    for _ in 0..100 {
        kv.client().ask(b"PING\r\n", b"+PONG\r\n");
    }
    let reply = bulk(&value);
    for _ in 0..requests {
        slow.expect(&reply);
    }
    slow.ask(b"PING\r\n", b"+PONG\r\n");
    kv.wait_for("pool_outbox_bytes", |bytes| bytes == 0);
}

#[test]
fn a_paused_client_may_have_finished_sending() {
    let kv = Kv::start(&["--max-backlog", "1m"]);
    let value = vec![b'v'; 1 << 20];
    let mut client = kv.client();
    client.ask(&array(&[b"SET", b"big", &value]), b"+OK\r\n");
    client.send(&b"GET big\r\n".repeat(50));
    client.finish_sending();
    kv.wait_for("paused_connections", |pauses| pauses > 0);
    for _ in 0..50 {
        client.expect(&bulk(&value));
    }
    client.expect_closed();
    kv.wait_for("connected_clients", |clients| clients == 1);
}

#[test]
fn a_reader_that_never_reads_may_leave() {
    let kv = Kv::start(&["--max-backlog", "1m"]);
    let mut client = kv.client();
    client.ask(&array(&[b"SET", b"big", &vec![b'v'; 4 << 20]]), b"+OK\r\n");
    client.send(&b"GET big\r\n".repeat(20));
    kv.wait_for("pool_outbox_buffers", |buffers| buffers == 1);
    drop(client);
    kv.wait_for("pool_outbox_bytes", |bytes| bytes == 0);
    kv.wait_for("connected_clients", |clients| clients == 1);
}

#[test]
fn a_connection_may_end_within_a_frame() {
    let kv = Kv::start(&[]);
    let frame = array(&[b"SET", b"key", b"value"]);
    for len in 1..frame.len() {
        kv.client().send(&frame[..len]);
    }
    kv.wait_for("connected_clients", |clients| clients == 1);
    kv.wait_for("pool_inbox_partials", NONE);
    kv.client().ask(b"GET key\r\n", b"$-1\r\n");
}

#[test]
fn an_announced_length_costs_nothing() {
    let kv = Kv::start(&[]);
    let mut announcers: Vec<_> = (0..20).map(|_| kv.client()).collect();
    for client in &mut announcers {
        client.send(b"*1000000\r\n$60000000\r\nx");
    }
    kv.wait_for("pool_inbox_partials", |partials| partials == 20);
    assert_eq!(kv.figure("pool_inbox_used"), 20 * (26 + 260));
    // Nor when the beginning has come: twice that at most.
    for client in &mut announcers {
        client.send(&[b'x'; 100 << 10]);
    }
    kv.wait_for("pool_inbox_bytes", |bytes| bytes >= 20 * (100 << 10));
    assert!(kv.figure("pool_inbox_peak") <= 20 * 4 * (128 << 10));
    let mut client = kv.client();
    client.ask(b"*1\r\n$4294967296\r\n", b"-ERR Protocol error: invalid bulk length\r\n");
    client.expect_closed();
}

#[test]
fn frames_are_limited() {
    let kv = Kv::start(&["--max-frame", "1m"]);
    let fits = vec![b'x'; (1 << 20) - 100];
    let mut client = kv.client();
    client.ask(&array(&[b"ECHO", &fits]), &bulk(&fits));
    client.send(b"*2\r\n$4\r\nECHO\r\n$1048576\r\n");
    client.expect(b"-ERR Protocol error: invalid bulk length\r\n");
    client.expect_closed();
    let mut client = kv.client();
    let many = [&b"*1000000\r\n"[..], &b"$0\r\n\r\n".repeat((1 << 20) / 6 + 1)].concat();
    client.send(&many);
    client.expect(b"-ERR Protocol error: invalid bulk length\r\n");
    // With unsent input left over the end may be a reset.
    assert!(client.read_to_close().is_empty());
    kv.client().ask(b"PING\r\n", b"+PONG\r\n");
}

/// By default the longest argument is that of Redis, 512 MiB, and such a value can be stored and read.
#[test]
fn a_value_may_be_as_long_as_in_redis() {
    const LONGEST: usize = 512 << 20;
    let piece: Vec<u8> = (0..1 << 20).map(|index| (index % 251) as u8).collect();
    let kv = Kv::start(&[]);
    let mut client = kv.client();
    let told = b"*2\r\n$18\r\nproto-max-bulk-len\r\n$9\r\n536870912\r\n";
    client.ask(b"CONFIG GET proto-max-bulk-len\r\n", told);
    client.send(format!("*3\r\n$3\r\nSET\r\n$4\r\nlong\r\n${LONGEST}\r\n").as_bytes());
    (0..LONGEST / piece.len()).for_each(|_| client.send(&piece));
    client.ask(b"\r\n", b"+OK\r\n");
    client.ask(b"GET long\r\n", format!("${LONGEST}\r\n").as_bytes());
    (0..LONGEST / piece.len()).for_each(|_| client.expect(&piece));
    client.expect(b"\r\n");
    client.send(format!("*2\r\n$4\r\nECHO\r\n${}\r\n", LONGEST + 1).as_bytes());
    client.expect(b"-ERR Protocol error: invalid bulk length\r\n");
    client.expect_closed();
}

#[test]
fn connections_are_limited() {
    let kv = Kv::start(&["--max-connections", "3"]);
    let mut clients: Vec<_> = (0..3).map(|_| kv.client()).collect();
    for client in &mut clients {
        client.ask(b"PING\r\n", b"+PONG\r\n");
    }
    for _ in 0..5 {
        let mut refused = kv.client();
        refused.expect(b"-ERR max number of clients reached\r\n");
        refused.expect_closed();
    }
    clients.pop();
    let (began, mut refused) = (Instant::now(), 5);
    // Its place is free as soon as the server has heard that it is gone.
    let mut next = loop {
        let mut next = kv.client();
        let _ = next.0.write_all(b"PING\r\n");
        if next.first() == Some(b'+') {
            break next;
        }
        refused += 1;
        assert!(began.elapsed() < PATIENCE, "the place is not given back");
        thread::sleep(Duration::from_millis(10));
    };
    next.expect(b"+PONG\r\n");
    assert!(next.info().lines().any(|line| line == format!("rejected_connections:{refused}")));
    clients[0].ask(b"PING\r\n", b"+PONG\r\n");
}

/// A server with limits of descriptors of its own, as `ulimit` sets them.
#[cfg(unix)]
fn with_descriptors(soft: u32, hard: u32, args: &str) -> Kv {
    let kv = env!("CARGO_BIN_EXE_kv");
    let line = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" {args}");
    let mut command = Command::new("sh");
    command.args(["-c", &line, kv]);
    Kv::run(command)
}

#[cfg(unix)]
#[test]
fn the_limit_of_descriptors_is_raised() {
    let kv = with_descriptors(64, 300, "--port 0 --max-connections 200 --threads 2");
    assert!(kv.banner.contains("up to 200 connections"), "{}", kv.banner);
    let mut clients: Vec<_> = (0..200).map(|_| kv.client()).collect();
    for client in &mut clients {
        client.ask(b"PING\r\n", b"+PONG\r\n");
    }
    let mut refused = kv.client();
    refused.expect(b"-ERR max number of clients reached\r\n");
    refused.expect_closed();
}

#[cfg(unix)]
#[test]
fn too_few_descriptors_are_fewer_connections() {
    let kv = with_descriptors(64, 64, "--port 0");
    assert!(kv.banner.contains("up to 29 connections"), "{}", kv.banner);
    let mut clients: Vec<_> = (0..29).map(|_| kv.client()).collect();
    for client in &mut clients {
        client.ask(b"PING\r\n", b"+PONG\r\n");
    }
    // Told, not left to wait.
    for _ in 0..40 {
        let mut refused = kv.client();
        refused.expect(b"-ERR max number of clients reached\r\n");
        refused.expect_closed();
    }
    let told = b"*2\r\n$10\r\nmaxclients\r\n$2\r\n29\r\n";
    clients[0].ask(b"CONFIG GET maxclients\r\n", told);
}

#[test]
fn what_clients_call_themselves_is_limited() {
    let kv = Kv::start(&[]);
    let mut client = kv.client();
    let (fits, long) = (vec![b'n'; 256], vec![b'n'; 257]);
    client.ask(b"CLIENT SETNAME me\r\n", b"+OK\r\n");
    let name = b"-ERR Client names cannot be longer than 256 bytes.\r\n";
    client.ask(&array(&[b"CLIENT", b"SETNAME", &long]), name);
    // Nor does it speak another protocol then.
    client.ask(&array(&[b"HELLO", b"3", b"SETNAME", &long]), name);
    client.ask(b"GET none\r\nCLIENT GETNAME\r\n", b"$-1\r\n$2\r\nme\r\n");
    for option in ["lib-name", "LIB-VER"] {
        let error = format!("-ERR {option} cannot be longer than 256 bytes.\r\n");
        let option = option.as_bytes();
        client.ask(&array(&[b"CLIENT", b"SETINFO", option, &long]), error.as_bytes());
        client.ask(&array(&[b"CLIENT", b"SETINFO", option, &fits]), b"+OK\r\n");
    }
    client.ask(&array(&[b"CLIENT", b"SETNAME", &fits]), b"+OK\r\n");
    client.ask(b"CLIENT GETNAME\r\n", &bulk(&fits));
}

#[test]
fn stored_data_is_limited() {
    let kv = Kv::start(&["--memory", "100k"]);
    let oom = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    let value = [b'v'; 1000];
    let mut client = kv.client();
    let stored = (0..200).take_while(|index| {
        let key = format!("key:{index}");
        client.send(&array(&[b"SET", key.as_bytes(), &value]));
        let mut first = [0];
        client.0.read_exact(&mut first).unwrap();
        client.expect(if first == *b"+" { b"OK\r\n" } else { &oom[1..] });
        first == *b"+"
    });
    let stored = stored.count();
    assert!((90..=101).contains(&stored), "{stored}");
    client.ask(b"GET key:0\r\n", &bulk(&value));
    client.ask(b"DEL key:0\r\n", b":1\r\n");
    client.ask(&array(&[b"SET", b"key:0", &value]), b"+OK\r\n");
    assert!(kv.figure("used_memory") <= 100 << 10);
}

#[test]
fn a_taken_port_is_named() {
    let kv = Kv::start(&[]);
    let port = kv.port.to_string();
    let out = run(Command::new(env!("CARGO_BIN_EXE_kv")).args(["--port", &port]));
    assert!(!out.status.success());
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(text.contains(&format!("port {port} on 127.0.0.1 is taken")), "{text}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_with_a_summary() {
    let mut kv = Kv::start(&[]);
    assert!(kv.banner.contains(&format!("redis-cli -p {}", kv.port)), "{}", kv.banner);
    kv.client().ask(b"PING\r\n", b"+PONG\r\n");
    let process = Pid::from_raw(kv.process.0.id() as i32).unwrap();
    kill_process(process, Signal::INT).unwrap();
    let mut said = String::new();
    kv.process.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(kv.process.0.wait().unwrap().success());
    assert!(said.contains("stopped after 1 commands"), "{said}");
}

#[test]
fn a_reply_beyond_the_budget_is_refused_and_nothing_else() {
    let kv = Kv::start(&["--alloc", "pool", "--buffers", "600k"]);
    let mut client = kv.client();
    let half = vec![b'v'; 100 << 10];
    client.ask(&array(&[b"SET", b"big", &half]), b"+OK\r\n");
    client.ask(&array(&[b"SET", b"small", b"v"]), b"+OK\r\n");
    client.ask(b"GET big\r\n", &bulk(&half));
    // Each fits, together they do not; what is before and behind is answered.
    client.send(b"PING\r\nMGET big big big big big big\r\nGET small\r\n");
    client.expect(b"+PONG\r\n-OOM no memory for the reply\r\n$1\r\nv\r\n");
    client.ask(b"GET big\r\n", &bulk(&half));
}

/// Whoever takes something out gets it, or it stays.
#[test]
fn what_could_not_be_replied_is_not_removed() {
    const REFUSED: &[u8] = b"-OOM no memory for the reply\r\n";
    let kv = Kv::start(&["--alloc", "pool", "--buffers", "600k"]);
    let mut client = kv.client();
    let element = |index: u8| vec![b'0' + index; 100 << 10];
    for index in 0..10 {
        client.ask(
            &array(&[b"RPUSH", b"l", &element(index)]),
            format!(":{}\r\n", index + 1).as_bytes(),
        );
        client.ask(&array(&[b"SADD", b"s", &element(index)]), b":1\r\n");
        let score = [b'0' + index];
        client.ask(&array(&[b"ZADD", b"z", &score, &element(index)]), b":1\r\n");
    }
    let whole = |client: &mut Client| {
        client.ask(b"LLEN l\r\nSCARD s\r\nZCARD z\r\n", &b":10\r\n".repeat(3));
        for index in 0..10 {
            client.ask(format!("LINDEX l {index}\r\n").as_bytes(), &bulk(&element(index)));
            client.ask(&array(&[b"SISMEMBER", b"s", &element(index)]), b":1\r\n");
            let score = bulk(&[b'0' + index]);
            client.ask(&array(&[b"ZSCORE", b"z", &element(index)]), &score);
        }
    };
    for request in ["LPOP l 10", "RPOP l 10", "SPOP s 10", "SPOP s 9", "ZPOPMIN z 10"] {
        client.ask(format!("{request}\r\n").as_bytes(), REFUSED);
        whole(&mut client);
    }
    // A smaller one is granted, and takes what it replies.
    client.ask(b"LPOP l 2\r\n", &[b"*2\r\n", &bulk(&element(0))[..], &bulk(&element(1))].concat());
    client.ask(b"RPOP l 2\r\n", &[b"*2\r\n", &bulk(&element(9))[..], &bulk(&element(8))].concat());
    client.ask(b"ZPOPMIN z 1\r\n", &[b"*2\r\n", &bulk(&element(0))[..], &bulk(b"0")].concat());
    client.send(b"SPOP s 3\r\n");
    client.expect(b"*3\r\n");
    let popped: Vec<_> = (0..3).map(|_| client.bulk()).collect();
    for word in &popped {
        client.ask(&array(&[b"SISMEMBER", b"s", &word[..100 << 10]]), b":0\r\n");
    }
    client.ask(b"LLEN l\r\nSCARD s\r\nZCARD z\r\n", b":6\r\n:7\r\n:9\r\n");
    // One that is too long for any reply.
    let long = vec![b'v'; 700 << 10];
    for [put, take, left] in [
        ["SET", "GETDEL v\r\n", "EXISTS v\r\n"],
        ["LPUSH", "LPOP v\r\n", "LLEN v\r\n"],
        ["SADD", "SPOP v\r\n", "SCARD v\r\n"],
    ] {
        let stored = if put == "SET" { &b"+OK\r\n"[..] } else { b":1\r\n" };
        client.ask(&array(&[put.as_bytes(), b"v", &long]), stored);
        client.ask(take.as_bytes(), REFUSED);
        client.ask(&[left.as_bytes(), b"DEL v\r\n"].concat(), b":1\r\n:1\r\n");
    }
}

#[test]
fn more_members_than_can_be_replied_are_refused_at_once() {
    for alloc in ["pool", "std"] {
        let kv = Kv::start(&["--alloc", alloc, "--buffers", "300m"]);
        let mut client = kv.client();
        client.ask(b"SADD s \"\"\r\nSRANDMEMBER s -2\r\n", b":1\r\n*2\r\n$0\r\n\r\n$0\r\n\r\n");
        let ask = b"SRANDMEMBER s -9223372036854775807\r\nSRANDMEMBER s -60000000\r\n";
        client.ask(&ask.repeat(500), &b"-OOM no memory for the reply\r\n".repeat(1000));
        // Nothing was begun.
        assert!(kv.figure("pool_peak_bytes") < 100 << 20);
    }
}

/// Has a server serve what two clients ask, one after another, while it does nothing; what the second is told.
#[cfg(unix)]
fn meanwhile(kv: &Kv, one: &mut Client, asked: &[u8], other: &mut Client) -> String {
    let process = Pid::from_raw(kv.process.0.id() as i32).unwrap();
    one.ask(b"DEL done\r\n", b":0\r\n");
    other.ask(b"PING\r\n", b"+PONG\r\n");
    kill_process(process, Signal::STOP).unwrap();
    one.send(&[asked, b"SET done 1\r\n"].concat());
    other.send(b"EXISTS done\r\n");
    kill_process(process, Signal::CONT).unwrap();
    other.line()
}

/// However much one client asks for at once, others are served in between.
#[test]
#[cfg(unix)]
fn long_replies_are_shared_out() {
    let kv = Kv::start(&["--buffers", "600k"]);
    let (mut one, mut other) = (kv.client(), kv.client());
    let value = vec![b'v'; 100 << 10];
    one.ask(&array(&[b"SET", b"big", &value]), b"+OK\r\n");
    let refused = b"MGET big big big big big big\r\n";
    assert_eq!(meanwhile(&kv, &mut one, refused, &mut other), ":0");
    one.expect(b"-OOM no memory for the reply\r\n+OK\r\n");

    let kv = Kv::start(&[]);
    let (mut one, mut other) = (kv.client(), kv.client());
    one.ask(&array(&[b"SET", b"big", &value]), b"+OK\r\n");
    assert_eq!(meanwhile(&kv, &mut one, &b"GET big\r\n".repeat(40), &mut other), ":0");
    (0..40).for_each(|_| one.expect(&bulk(&value)));
    one.expect(b"+OK\r\n");
}

#[cfg(not(all(feature = "mimalloc", feature = "jemalloc")))]
#[test]
fn a_strategy_that_is_not_built_says_how() {
    let absent =
        [("mimalloc", cfg!(feature = "mimalloc")), ("jemalloc", cfg!(feature = "jemalloc"))];
    for (name, _) in absent.into_iter().filter(|(_, built)| !built) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kv"));
        let output = crate::support::run(command.args(["--port", "0", "--alloc", name]));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(&format!("--features {name}")), "{said}");
    }
}
