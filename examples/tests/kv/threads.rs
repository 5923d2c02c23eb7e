//! Several threads: every client sees one database.

use crate::support::{Client, Kv, PATIENCE, array};
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

fn four() -> Kv {
    Kv::start(&["--threads", "4"])
}

fn key(index: usize) -> Vec<u8> {
    format!("key:{index}").into_bytes()
}

#[test]
fn commands_over_many_keys() {
    let kv = four();
    let mut client = kv.client();
    let pairs: Vec<Vec<u8>> =
        (0..100).flat_map(|index| [key(index), format!("value:{index}").into_bytes()]).collect();
    let words: Vec<&[u8]> = pairs.iter().map(Vec::as_slice).collect();
    client.ask(&array(&[&[&b"MSET"[..]], &words[..]].concat()), b"+OK\r\n");
    client.ask(b"DBSIZE\r\n", b":100\r\n");
    let keys: Vec<&[u8]> = words.iter().copied().step_by(2).rev().collect();
    client.send(&array(&[&[&b"MGET"[..], b"none"], &keys[..]].concat()));
    assert_eq!((client.line(), client.line()), ("*101".into(), "$-1".into()));
    for index in (0..100).rev() {
        client.line();
        assert_eq!(client.line(), format!("value:{index}"));
    }
    client.ask(&array(&[&[&b"EXISTS"[..]], &keys[..], &keys[..1]].concat()), b":101\r\n");
    client.send(b"KEYS key:?\r\n");
    assert_eq!(client.words().len(), 10);
    client.send(b"RANDOMKEY\r\n");
    client.line();
    assert!(client.line().starts_with("key:"));
    client.ask(&array(&[&[&b"DEL"[..], b"none"], &keys[..60]].concat()), b":60\r\n");
    client.ask(b"DBSIZE\r\nFLUSHALL\r\nDBSIZE\r\nRANDOMKEY\r\n", b":40\r\n+OK\r\n:0\r\n$-1\r\n");
}

#[test]
fn a_scan_meets_every_key_once() {
    let kv = four();
    let mut client = kv.client();
    for index in 0..500 {
        client.ask(&array(&[b"SET", &key(index), b"v"]), b"+OK\r\n");
    }
    let (mut cursor, mut seen) = ("0".to_owned(), BTreeSet::new());
    loop {
        client.send(format!("SCAN {cursor} COUNT 7\r\n").as_bytes());
        assert_eq!(client.line(), "*2");
        client.line();
        cursor = client.line();
        for key in client.words() {
            assert!(seen.insert(key));
        }
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 500);
}

/// What one connection pipelines is answered in its order, wherever the keys are.
#[test]
fn replies_keep_their_order() {
    let kv = four();
    thread::scope(|scope| {
        for number in 0..4 {
            let kv = &kv;
            scope.spawn(move || {
                let mut client = kv.client();
                for round in 0..50 {
                    let (mut requests, mut replies) = (Vec::new(), Vec::new());
                    for index in 0..100 {
                        let key = format!("{number}:{}", index % 37);
                        let value = format!("{round}:{index}");
                        requests.extend(array(&[b"SET", key.as_bytes(), value.as_bytes()]));
                        requests.extend(format!("GET {key}\r\nPING\r\n").as_bytes());
                        replies.extend(
                            format!("+OK\r\n${}\r\n{value}\r\n+PONG\r\n", value.len()).bytes(),
                        );
                    }
                    client.ask(&requests, &replies);
                }
            });
        }
    });
}

/// `RENAME` between threads is one step for everybody: a value that many rename is never lost, and never
/// there twice.
#[test]
fn a_value_that_is_renamed_stays_one() {
    let kv = four();
    kv.client().ask(b"RPUSH name:0 a b c\r\n", b":3\r\n");
    thread::scope(|scope| {
        for number in 0..6 {
            let kv = &kv;
            scope.spawn(move || {
                let mut client = kv.client();
                for round in 0..200 {
                    let (from, to) = ((round + number) % 8, (round * 3 + 1) % 8);
                    client.send(format!("RENAMENX name:{from} name:{to}\r\n").as_bytes());
                    let line = client.line();
                    assert!([":0", ":1", "-ERR no such key"].contains(&line.as_str()), "{line}");
                    client.send(
                        b"EXISTS name:0 name:1 name:2 name:3 name:4 name:5 name:6 name:7\r\n",
                    );
                    client.line();
                }
            });
        }
    });
    let mut client = kv.client();
    client.ask(b"DBSIZE\r\n", b":1\r\n");
    client.send(b"KEYS *\r\n");
    let name = client.words().remove(0);
    client.send(format!("LRANGE {name} 0 -1\r\n").as_bytes());
    assert_eq!(client.words(), ["a", "b", "c"]);
}

/// Of those who set many keys if none is there, one wins, and all values are its own.
#[test]
fn one_of_many_sets_all() {
    let kv = four();
    for round in 0..30 {
        let wins: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let kv = &kv;
                    scope.spawn(move || {
                        let value = format!("{number}");
                        let keys: Vec<_> = (0..6).map(|index| format!("{round}:{index}")).collect();
                        let pairs = keys.iter().flat_map(|key| [key.as_bytes(), value.as_bytes()]);
                        let words: Vec<&[u8]> = [&b"MSETNX"[..]].into_iter().chain(pairs).collect();
                        let mut client = kv.client();
                        client.send(&array(&words));
                        usize::from(client.line() == ":1")
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(wins, 1);
        let mut client = kv.client();
        let keys: Vec<_> = (0..6).map(|index| format!("{round}:{index}")).collect();
        client.send(format!("MGET {}\r\n", keys.join(" ")).as_bytes());
        let values: BTreeSet<_> = client.words().into_iter().collect();
        assert_eq!(values.len(), 1, "{values:?}");
    }
}

#[test]
fn who_leaves_in_between_harms_nobody() {
    let kv = four();
    let mut steady = kv.client();
    let many: Vec<Vec<u8>> = (0..200).map(key).collect();
    let words: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let request = array(&[&[&b"MGET"[..]], &words[..]].concat()).repeat(20);
    for round in 0..100 {
        let mut leaving = kv.client();
        leaving.send(&request);
        if round % 2 == 0 {
            // Closing with unread replies resets.
            leaving.send(b"DBSIZE\r\nRENAME none other\r\n*3\r\n$3\r\nSE");
        }
        drop(leaving);
        steady.ask(&array(&[b"SET", &key(round), b"v"]), b"+OK\r\n");
        steady.ask(format!("GET key:{round}\r\n").as_bytes(), b"$1\r\nv\r\n");
    }
    kv.wait_for("connected_clients", |clients| clients == 2);
    steady.ask(b"DBSIZE\r\n", b":100\r\n");
}

#[test]
fn clients_of_all_threads_are_listed_and_killed() {
    let kv = four();
    let mut clients: Vec<_> = (0..20).map(|_| kv.client()).collect();
    let mut ids = BTreeSet::new();
    for client in &mut clients {
        client.send(b"CLIENT ID\r\n");
        assert!(ids.insert(client.line()));
    }
    let mut boss = kv.client();
    boss.send(b"CLIENT LIST\r\n");
    let len: usize = boss.line()[1..].parse().unwrap();
    let mut text = String::new();
    while text.len() < len {
        text += &boss.text_line();
        text += "\n";
    }
    boss.line();
    assert_eq!(text.lines().count(), 21, "{text}");
    for id in &ids {
        boss.ask(format!("CLIENT KILL ID {}\r\n", &id[1..]).as_bytes(), b":1\r\n");
    }
    clients.iter_mut().for_each(Client::expect_closed);
    boss.ask(b"CLIENT KILL 1.2.3.4:5\r\n", b"-ERR No such client\r\n");
    assert_eq!(kv.figure("connected_clients"), 2);
}

#[test]
fn figures_are_of_all_threads() {
    let kv = four();
    let mut client = kv.client();
    for index in 0..1000 {
        client.ask(&array(&[b"SET", &key(index), &[b'v'; 500]]), b"+OK\r\n");
    }
    let used = kv.figure("used_memory");
    assert!((550_000..700_000).contains(&used), "{used}");
    assert!(kv.figure("total_commands_processed") >= 1000);
    assert!(kv.figure("pool_data_live_bytes") > 500_000);
    assert!(kv.client().info().contains("db0:keys=1000,expires=0"));
    client.ask(b"FLUSHALL\r\n", b"+OK\r\n");
    assert_eq!(kv.figure("used_memory"), 0);
}

/// The most memory that the server has ever had, in bytes.
#[cfg(target_os = "linux")]
fn peak(kv: &Kv) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", kv.process.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Replies to those who never read are charged, under way from thread to thread too.
#[cfg(target_os = "linux")]
#[test]
fn unread_replies_of_other_threads_are_charged() {
    let limits =
        ["--threads", "4", "--buffers", "32m", "--max-backlog", "1m", "--max-unread-age", "2"];
    let kv = Kv::start(&limits);
    let mut client = kv.client();
    client.ask(&array(&[b"SET", b"big", &vec![b'v'; 2 << 20]]), b"+OK\r\n");
    let before = peak(&kv);
    let hoarders: Vec<_> = (0..40)
        .map(|_| {
            let mut hoarder = kv.client();
            hoarder.send(&b"GET big\r\n".repeat(60));
            hoarder
        })
        .collect();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        client.ask(b"GET none\r\n", b"$-1\r\n");
    }
    kv.wait_for("connected_clients", |clients| clients == 2);
    kv.wait_for("bytes_between_threads", |bytes| bytes < 10_000);
    // Budgets, the pieces that batches keep, and a reply at each step of its way.
    let more = peak(&kv) - before;
    assert!(more < 160 << 20, "{} MiB", more >> 20);
    drop(hoarders);
}

/// A client that reads late gets everything, and the server does not keep it all meanwhile.
#[cfg(target_os = "linux")]
#[test]
fn a_late_reader_loses_nothing_and_fills_nothing() {
    let kv = Kv::start(&["--threads", "4", "--max-backlog", "1m"]);
    let mut client = kv.client();
    let value = vec![b'v'; 2 << 20];
    for key in 0..8 {
        client.ask(&array(&[b"SET", key.to_string().as_bytes(), &value]), b"+OK\r\n");
    }
    let before = peak(&kv);
    let mut late = kv.client();
    for key in 0..160 {
        late.send(format!("GET {}\r\nSTRLEN {}\r\n", key % 8, key % 7).as_bytes());
    }
    late.finish_sending();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        client.ask(b"GET none\r\n", b"$-1\r\n");
    }
    let more = peak(&kv) - before;
    assert!(more < 64 << 20, "{} MiB", more >> 20);
    let reply = [&crate::support::bulk(&value)[..], b":2097152\r\n"].concat();
    for _ in 0..160 {
        late.expect(&reply);
    }
    late.expect_closed();
}

/// `MSETNX` takes a few letters to each owner, however many pairs it has.
#[test]
fn many_pairs_take_few_letters() {
    let kv = four();
    let mut client = kv.client();
    let keys: Vec<Vec<u8>> = (0..50_000).map(key).collect();
    let words: Vec<&[u8]> = keys.iter().flat_map(|key| [key, key]).map(Vec::as_slice).collect();
    let request = array(&[&[&b"MSETNX"[..]], &words[..]].concat());
    let before = kv.figure("letters_between_threads");
    client.ask(&request, b":1\r\n");
    client.ask(&request, b":0\r\n");
    let letters = kv.figure("letters_between_threads") - before;
    assert!(letters < 100, "{letters}");
    client.ask(b"DBSIZE\r\nGET key:49999\r\n", b":50000\r\n$9\r\nkey:49999\r\n");
}

/// A value that goes from one thread to another is charged on its way, and one that is too long stays.
#[test]
fn a_value_goes_to_another_thread_within_the_budget() {
    let kv = Kv::start(&["--threads", "2", "--buffers", "8m"]);
    let mut client = kv.client();
    let element = vec![b'v'; 500_000];
    for len in 1..=20 {
        client.ask(&array(&[b"RPUSH", b"long", &element]), format!(":{len}\r\n").as_bytes());
    }
    client.ask(&array(&[b"RPUSH", b"short", &element]), b":1\r\n");
    let mut copied = [0; 2];
    for index in 0..40 {
        client.send(format!("COPY long long:{index}\r\n").as_bytes());
        let is_copied = client.first() == Some(b':');
        client.expect(if is_copied { b":1\r\n" } else { TOO_LONG });
        let there = format!(":{}\r\n", u8::from(is_copied));
        client.ask(format!("DEL long:{index}\r\n").as_bytes(), there.as_bytes());
        copied[usize::from(is_copied)] += 1;
        if !is_copied {
            client.ask(format!("RENAME long long:{index}\r\n").as_bytes(), TOO_LONG);
        }
        client.ask(format!("COPY short short:{index}\r\n").as_bytes(), b":1\r\n");
    }
    assert!(copied[0] > 0 && copied[1] > 0, "{copied:?}");
    client.ask(b"LLEN long\r\nLLEN short:39\r\n", b":20\r\n:1\r\n");
    // What was under way is no longer: only the request for these figures may be.
    assert!(kv.figure("bytes_between_threads") < 1000);
}

/// What a client is told whose value finds no room on its way.
const TOO_LONG: &[u8] = b"-OOM no memory for the command\r\n";

/// Without room for all of them none is set.
#[test]
fn pairs_without_room_are_not_set_at_all() {
    let kv = Kv::start(&["--threads", "4", "--memory", "1m"]);
    let mut client = kv.client();
    let keys: Vec<Vec<u8>> = (0..200).map(key).collect();
    let value = [b'v'; 10_000];
    let words: Vec<&[u8]> = keys.iter().flat_map(|key| [&key[..], &value[..]]).collect();
    let request = array(&[&[&b"MSETNX"[..]], &words[..]].concat());
    client.ask(&request, b"-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    client.ask(b"DBSIZE\r\n", b":0\r\n");
}

/// Threads that accept at the same time share the places out, and none is given twice.
#[test]
fn connections_are_limited_for_all_threads_together() {
    let kv = Kv::start(&["--threads", "8", "--max-connections", "20"]);
    for _ in 0..10 {
        let admitted: Vec<Client> = thread::scope(|scope| {
            let knock = || {
                let clients: Vec<_> = (0..30).map(|_| kv.client()).collect();
                let is_in = |client: &mut Client| {
                    // Who is refused may find the connection reset before it has asked.
                    let _ = std::io::Write::write_all(&mut client.0, b"PING\r\n");
                    client.first() == Some(b'+')
                };
                let in_time = |mut client| is_in(&mut client).then_some(client);
                clients.into_iter().filter_map(in_time).collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(knock)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(admitted.len(), 20);
        drop(admitted);
        // Their places are free again.
        let began = Instant::now();
        loop {
            let mut client = kv.client();
            let _ = std::io::Write::write_all(&mut client.0, b"PING\r\n");
            if client.first() == Some(b'+') {
                client.expect(b"+PONG\r\n");
                client.send(b"INFO clients\r\n");
                let told = String::from_utf8(client.bulk()).unwrap();
                client.ask(b"QUIT\r\n", b"+OK\r\n");
                client.expect_closed();
                if told.lines().any(|line| line == "connected_clients:1") {
                    break;
                }
            }
            assert!(began.elapsed() < PATIENCE, "places are not given back");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What clients have asked for who have left is not done: nobody else waits for it.
#[test]
fn requests_of_those_who_have_left_are_forgotten() {
    let kv = Kv::start(&["--threads", "4", "--buffers", "64m", "--max-backlog", "1m"]);
    let mut client = kv.client();
    client.ask(&array(&[b"SET", b"big", &vec![b'v'; 2 << 20]]), b"+OK\r\n");
    let before = kv.figure("keyspace_hits");
    for _ in 0..40 {
        let mut leaving = kv.client();
        leaving.send(&b"GET big\r\n".repeat(60));
        // Closing with unread replies resets.
        assert_eq!(leaving.first(), Some(b'$'));
        drop(leaving);
    }
    kv.wait_for("connected_clients", |clients| clients == 2);
    kv.wait_for("bytes_between_threads", |bytes| bytes < 10_000);
    // Of those whose owner has accepted them all can be sent, and so is read at once.
    let done = kv.figure("keyspace_hits") - before;
    assert!(done < 40 * 60 * 2 / 3, "{done} of 2400");
}
