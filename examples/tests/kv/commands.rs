//! What a comparison with Redis cannot see: numbers of connections, time, and order.

use crate::support::{Client, Kv, PATIENCE, array, bulk};
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

/// Both strategies.
fn servers() -> [Kv; 2] {
    ["pool", "std"].map(|alloc| Kv::start(&["--alloc", alloc]))
}

#[test]
fn keys_end() {
    for kv in servers() {
        let mut client = kv.client();
        client.ask(b"SET short v PX 30\r\nSET long v EX 100\r\n", b"+OK\r\n+OK\r\n");
        client.send(b"TTL long\r\n");
        let left: u64 = client.line()[1..].parse().unwrap();
        assert!((100 - PATIENCE.as_secs()..=100).contains(&left), "{left} s of 100");
        client.ask(b"TTL none\r\n", b":-2\r\n");
        // The moment of its end is the same to the millisecond, whenever one asks.
        client.send(b"PEXPIRETIME long\r\nSET long w KEEPTTL\r\nPEXPIRETIME long\r\n");
        let (before, ok, after) = (client.line(), client.line(), client.line());
        assert!(before == after && ok == "+OK" && before.len() > 10, "{before} {ok} {after}");
        client.ask(b"PERSIST long\r\nTTL long\r\n", b":1\r\n:-1\r\n");
        let began = Instant::now();
        loop {
            client.send(b"EXISTS short\r\n");
            if client.line() == ":0" {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
        client.ask(b"GET short\r\nEXISTS short\r\nTTL short\r\n", b"$-1\r\n:0\r\n:-2\r\n");
        client.ask(b"EXPIRE long 0\r\nDBSIZE\r\n", b":1\r\n:0\r\n");
    }
}

#[test]
fn keys_that_nobody_asks_for_end_too() {
    let kv = Kv::start(&[]);
    let mut client = kv.client();
    for index in 0..5000 {
        let key = format!("key:{index}");
        client.send(&array(&[b"SET", key.as_bytes(), b"v", b"PX", b"50"]));
    }
    client.expect(&b"+OK\r\n".repeat(5000));
    client.ask(b"SET stays v\r\n", b"+OK\r\n");
    kv.wait_for("expired_keys", |count| count == 5000);
    client.ask(b"DBSIZE\r\n", b":1\r\n");
}

#[test]
fn a_scan_meets_every_key_and_random_keys_differ() {
    for kv in servers() {
        let mut client = kv.client();
        let names: HashSet<String> = (0..1000).map(|index| format!("key:{index}")).collect();
        for name in &names {
            client.ask(&array(&[b"SET", name.as_bytes(), b"v"]), b"+OK\r\n");
        }
        let (mut cursor, mut seen) = ("0".to_owned(), HashSet::new());
        loop {
            client.send(&array(&[b"SCAN", cursor.as_bytes(), b"COUNT", b"33"]));
            client.expect(b"*2\r\n");
            client.line();
            cursor = client.line();
            seen.extend(client.words());
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen, names);
        client.send(b"KEYS *\r\n");
        assert_eq!(client.words().into_iter().collect::<HashSet<_>>(), names);
        client.send(&b"RANDOMKEY\r\n".repeat(100));
        let drawn: HashSet<_> = (0..100).map(|_| (client.line(), client.line()).1).collect();
        assert!(drawn.len() > 50 && drawn.is_subset(&names), "{}", drawn.len());
        client
            .ask(b"FLUSHALL\r\nRANDOMKEY\r\nSCAN 0\r\n", b"+OK\r\n$-1\r\n*2\r\n$1\r\n0\r\n*0\r\n");
    }
}

#[test]
fn scans_of_collections_meet_every_element() {
    for kv in servers() {
        let mut client = kv.client();
        let names: HashSet<String> = (0..1000).map(|index| format!("name:{index}")).collect();
        for name in &names {
            client.ask(&array(&[b"SADD", b"set", name.as_bytes()]), b":1\r\n");
            client.ask(&array(&[b"HSET", b"hash", name.as_bytes(), b"v"]), b":1\r\n");
        }
        for (scan, key) in [("SSCAN", "set"), ("HSCAN", "hash")] {
            let (mut cursor, mut seen, mut rounds) = ("0".to_owned(), HashSet::new(), 0);
            loop {
                let words = [scan, key, &cursor, "COUNT", "33"].map(str::as_bytes);
                client.send(&array(&words));
                client.expect(b"*2\r\n");
                client.line();
                cursor = client.line();
                seen.extend(words_of(&mut client, scan == "HSCAN"));
                rounds += 1;
                if cursor == "0" {
                    break;
                }
            }
            assert!(seen == names && rounds == 1000_usize.div_ceil(33), "{scan}: {rounds}");
        }
        client.send(b"SRANDMEMBER set 100\r\nSRANDMEMBER set -100\r\n");
        let (distinct, any) = (client.words(), client.words());
        assert_eq!((distinct.len(), any.len()), (100, 100));
        assert_eq!(distinct.iter().collect::<HashSet<_>>().len(), 100);
        assert!(distinct.iter().chain(&any).all(|name| names.contains(name)));
        client.send(b"SPOP set 400\r\nSPOP set 1000\r\n");
        let popped: HashSet<_> = client.words().into_iter().chain(client.words()).collect();
        assert_eq!(popped, names);
        client.ask(b"EXISTS set\r\nSPOP set\r\n", b":0\r\n$-1\r\n");
    }
}

/// The words of an array, or every other one of them.
fn words_of(client: &mut Client, pairs: bool) -> Vec<String> {
    client.words().into_iter().step_by(if pairs { 2 } else { 1 }).collect()
}

#[test]
fn hello_changes_the_forms() {
    let kv = Kv::start(&[]);
    let mut client = kv.client();
    client.ask(b"GET none\r\nCONFIG GET save\r\n", b"$-1\r\n*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    client.send(b"HELLO 3 SETNAME me\r\n");
    client.expect(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n");
    client.expect(b"$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n");
    client.expect(b"$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
    client.ask(b"GET none\r\nCONFIG GET save\r\n", b"_\r\n%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
    client.ask(b"CLIENT GETNAME\r\n", b"$2\r\nme\r\n");
    client.send(b"INFO keyspace\r\n");
    client.expect(b"=16\r\ntxt:# Keyspace\r\n\r\n");
    client.ask(b"RESET\r\nGET none\r\nCLIENT GETNAME\r\n", b"+RESET\r\n$-1\r\n$-1\r\n");
}

#[test]
fn clients_are_listed_and_ended() {
    let kv = Kv::start(&[]);
    let (mut first, mut second, mut third) = (kv.client(), kv.client(), kv.client());
    first.ask(b"CLIENT ID\r\nCLIENT SETNAME one\r\n", b":1\r\n+OK\r\n");
    second.ask(b"CLIENT ID\r\nCLIENT SETINFO lib-name x\r\n", b":2\r\n+OK\r\n");
    third.ask(b"CLIENT ID\r\n", b":3\r\n");
    first.send(b"CLIENT LIST\r\n");
    let len: usize = first.line()[1..].parse().unwrap();
    let lines: Vec<_> = (0..3).map(|_| first.text_line()).collect();
    assert_eq!(lines.iter().map(|line| line.len() + 1).sum::<usize>(), len);
    assert!(lines[0].starts_with("id=1 addr=127.0.0.1:") && lines[0].contains(" name=one "));
    assert!(lines[1].contains("lib-name=x") && lines[2].starts_with("id=3 "), "{lines:?}");
    first.expect(b"\r\n");
    // However often and in whatever order they are asked for.
    first.send(b"CLIENT LIST ID 3 9 1 3 -1 1 3\r\n");
    let listed = String::from_utf8(first.bulk()).unwrap();
    let starts: Vec<_> = listed.trim().lines().map(|line| &line[..5]).collect();
    assert_eq!(starts, ["id=1 ", "id=3 "]);
    first.ask(b"CLIENT KILL ID 2\r\nCLIENT KILL ID 2\r\n", b":1\r\n:0\r\n");
    second.expect_closed();
    let address = third.0.local_addr().unwrap().to_string();
    first.ask(&array(&[b"CLIENT", b"KILL", address.as_bytes()]), b"+OK\r\n");
    third.expect_closed();
    first.ask(b"CLIENT KILL TYPE normal\r\n", b":0\r\n");
    first.ask(b"CLIENT KILL TYPE normal SKIPME no\r\n", b":1\r\n");
    first.expect_closed();
    kv.wait_for("connected_clients", |clients| clients == 1);
}

#[test]
fn memory_is_told() {
    let kv = Kv::start(&[]);
    let mut client = kv.client();
    client.ask(b"MEMORY USAGE none\r\nSET k 12345\r\n", b"$-1\r\n+OK\r\n");
    client.send(b"MEMORY USAGE k\r\n");
    let bytes: usize = client.line()[1..].parse().unwrap();
    assert!((6..200).contains(&bytes), "{bytes}");
    client.send(b"MEMORY STATS\r\n");
    let count: usize = client.line()[1..].parse().unwrap();
    assert!(count > 8 && count % 2 == 0);
    let mut names = Vec::new();
    for _ in 0..count / 2 {
        client.line();
        names.push(client.line());
        assert!(client.line().starts_with(':'));
    }
    assert!(names.iter().any(|name| name == "batch_held_bytes"), "{names:?}");
    let text = b"Hi Sam, I can't find any memory issue in your instance.\n";
    client.ask(b"MEMORY DOCTOR\r\n", &bulk(text));
}

#[test]
fn a_long_batch_is_given_back() {
    let kv = Kv::start(&["--alloc", "pool"]);
    let mut client = kv.client();
    let value = vec![b'v'; 8 << 20];
    client.ask(&array(&[b"SET", b"big", &value]), b"+OK\r\n");
    client.ask(b"GET big\r\nAPPEND big x\r\n", &[&bulk(&value)[..], b":8388609\r\n"].concat());
    assert!(kv.figure("pool_batch_held_bytes") <= 2 << 20);
}
