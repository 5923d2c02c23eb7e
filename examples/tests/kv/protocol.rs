//! Requests and replies, to the byte.

use crate::support::{Client, Kv, array, bulk};
use std::thread;
use std::time::Duration;

#[test]
fn replies_are_exact() {
    let kv = Kv::start(&[]);
    let mut client = kv.client();
    for (request, reply) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], &b"+PONG\r\n"[..]),
        (b"PiNG\n", b"+PONG\r\n"),
        (b"\r\n  \r\n*0\r\n*-1\r\nping hi\r\n", b"$2\r\nhi\r\n"),
        (b"ping a b\r\n", b"-ERR wrong number of arguments for 'ping' command\r\n"),
        (b"ECHO \"a\\x00b\"\r\n", b"$3\r\na\0b\r\n"),
        (b"GET nothing\r\n", b"$-1\r\n"),
        (b"SET k v\r\n", b"+OK\r\n"),
        (b"set k \"\"\r\n", b"+OK\r\n"),
        (b"GET k\r\n", b"$0\r\n\r\n"),
        (b"GET\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
        (b"SET k v NX\r\n", b"$-1\r\n"),
        (b"SET k v NX XX\r\n", b"-ERR syntax error\r\n"),
        (b"DEL k k other\r\n", b":1\r\n"),
        (b"COMMAND COUNT\r\n", b":97\r\n"),
        (b"COMMAND DOCS\r\n", b"*0\r\n"),
        (b"COMMAND zork\r\n", b"-ERR unknown subcommand 'zork'. Try COMMAND HELP.\r\n"),
        (b"CONFIG GET save\r\n", b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
        (b"CONFIG GET APPEND[m-p]nly\r\n", b"*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"),
        (b"CONFIG GET zork\r\n", b"*0\r\n"),
        (b"FOO a b\r\n", b"-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n"),
        (b"*1\r\n$3\r\nA\nB\r\n", b"-ERR unknown command 'A B', with args beginning with: \r\n"),
        (b"INFO zork\r\n", b"$0\r\n\r\n"),
    ] {
        client.ask(request, reply);
    }
    client.ask(b"QUIT\r\nPING\r\n", b"+OK\r\n");
    client.expect_closed();
}

#[test]
fn info_has_its_sections() {
    let kv = Kv::start(&["--memory", "2m"]);
    let mut client = kv.client();
    client.ask(b"SET k v\r\n", b"+OK\r\n");
    let info = client.info();
    for line in [
        "# Server",
        "# Clients",
        "connected_clients:1",
        "maxmemory:2097152",
        "maxmemory_human:2.00M",
        "mem_allocator:pool",
        "pool_inbox_partials:0",
        "total_commands_processed:2",
        "db0:keys=1,expires=0,avg_ttl=0",
    ] {
        assert!(info.lines().any(|found| found == line), "{line} is not in {info}");
    }
    client.ask(b"INFO keyspace\r\n", &bulk(b"# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n"));
}

/// A program that has every form, and its replies.
fn program() -> (Vec<u8>, Vec<u8>) {
    let mut request = array(&[b"SET", b"key", b"a\r\nb"]);
    request.extend(b"GET key\r\n*0\r\n\r\n");
    request.extend(array(&[b"get", b"key"]));
    request.extend(array(&[b"DEL", b"key", b""]));
    request.extend(b"echo 'x y'\r\n");
    (request, b"+OK\r\n$4\r\na\r\nb\r\n$4\r\na\r\nb\r\n:1\r\n$3\r\nx y\r\n".to_vec())
}

#[test]
fn requests_may_be_split_anywhere() {
    let kv = Kv::start(&[]);
    let mut client = kv.client();
    let (request, replies) = program();
    for at in 1..request.len() {
        client.send(&request[..at]);
        thread::sleep(Duration::from_millis(1));
        client.send(&request[at..]);
        client.expect(&replies);
    }
    for byte in &request {
        client.send(&[*byte]);
        thread::sleep(Duration::from_millis(1));
    }
    client.expect(&replies);
}

#[test]
fn ten_thousand_requests_at_once() {
    let kv = Kv::start(&[]);
    let (mut request, mut replies) = (Vec::new(), Vec::new());
    for index in 0..5000 {
        let (key, value) = (format!("key:{index}"), format!("value {index}"));
        request.extend(array(&[b"SET", key.as_bytes(), value.as_bytes()]));
        request.extend(array(&[b"GET", key.as_bytes()]));
        replies.extend(b"+OK\r\n");
        replies.extend(bulk(value.as_bytes()));
    }
    let mut client = kv.client();
    client.ask(&request, &replies);
    // And with nothing behind it: the end of the stream comes after the last reply.
    let mut client = kv.client();
    client.send(&request);
    client.finish_sending();
    client.expect(&replies);
    client.expect_closed();
}

#[test]
fn what_is_not_the_protocol_is_named_and_ends_the_connection() {
    let kv = Kv::start(&[]);
    let long = vec![b'a'; 70_000];
    for (request, text) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*1\r\n$x\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$4294967296\r\n", "invalid bulk length"),
        (b"*2\r\nx\r\n", "expected '$', got 'x'"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"get \"a\r\n", "unbalanced quotes in request"),
        (&long, "too big inline request"),
    ] {
        let mut client = kv.client();
        client.ask(b"PING\r\n", b"+PONG\r\n");
        client.send(request);
        let reply = format!("-ERR Protocol error: {text}\r\n");
        assert_eq!(String::from_utf8_lossy(&client.read_to_close()), reply);
    }
    kv.client().ask(b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn the_replies_before_a_protocol_error_are_sent() {
    let kv = Kv::start(&[]);
    let mut client = kv.client();
    client.send(b"PING\r\n*1\r\n$x\r\nPING\r\n");
    let replies = client.read_to_close();
    assert_eq!(replies, b"+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn values_of_eight_mebibytes() {
    let kv = Kv::start(&[]);
    let mut value: Vec<u8> = (0..8 << 20).map(|index: u32| (index % 251) as u8).collect();
    let mut client = kv.client();
    for round in 0..3 {
        value[0] = round;
        client.ask(&array(&[b"SET", b"big", &value]), b"+OK\r\n");
        client.ask(b"GET big\r\n", &bulk(&value));
    }
    drop(client);
    kv.wait_for("pool_inbox_bytes", |bytes| bytes <= 64 << 10);
}

#[test]
fn clients_do_not_see_each_others_bytes() {
    let kv = Kv::start(&[]);
    let talk = |mut client: Client, id: usize| {
        for round in 0..200 {
            let text = format!("{id}:{round}").repeat(1 + round % 50);
            let request = array(&[b"ECHO", text.as_bytes()]);
            let (head, tail) = request.split_at(request.len() * (round % 7) / 7);
            client.send(head);
            client.send(tail);
            client.expect(&bulk(text.as_bytes()));
        }
    };
    thread::scope(|scope| {
        for id in 0..8 {
            let client = kv.client();
            scope.spawn(move || talk(client, id));
        }
    });
}
