//! Clients that mean harm, or have lost their way: nobody else is harmed, and loses nothing.

use crate::support::{Client, Kv, PATIENCE, array, bulk};
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

/// Tests that are to hold with one thread and with several.
macro_rules! with_threads {
    ($($name:ident)*) => {
        mod one_thread {
            $(#[test] fn $name() { super::$name(&[]); })*
        }
        mod four_threads {
            $(#[test] fn $name() { super::$name(&["--threads", "4"]); })*
        }
    };
}

with_threads! {
    one_byte_at_a_time
    one_byte_and_then_nothing
    a_long_frame_within_the_limit_of_time
    idle_for_too_long
    an_announcement_of_four_gibibytes
    replies_that_are_never_read
    resets_within_a_frame
    killed_clients_leave_their_places
}

/// A client that goes on all the while, always with half a request under way and a value stored.
struct Bystander {
    client: Client,
    rounds: u32,
}

impl Bystander {
    fn new(kv: &Kv) -> Self {
        let mut client = kv.client();
        client.ask(&array(&[b"SET", b"mine", b"treasure"]), b"+OK\r\n");
        client.send(b"*2\r\n$3\r\nGET\r\n$4\r\nmi");
        Self { client, rounds: 0 }
    }

    /// The request is finished, answered, and the next one begun.
    #[track_caller]
    fn goes_on(&mut self) {
        // Who is kept waiting gives up in time; how long a busy machine takes is not asked.
        self.client.ask(b"ne\r\n*2\r\n$3\r\nGET\r\n$4\r\nmi", b"$8\r\ntreasure\r\n");
        self.rounds += 1;
    }

    /// Goes on until `done`.
    #[track_caller]
    fn goes_on_until(&mut self, mut done: impl FnMut() -> bool) {
        let (before, began) = (self.rounds, Instant::now());
        while !done() || self.rounds == before {
            assert!(began.elapsed() < PATIENCE, "it does not come to pass");
            self.goes_on();
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn one_byte_at_a_time(threads: &[&str]) {
    let kv = Kv::start(&[threads, &["--max-partial-age", "1"]].concat());
    let mut bystander = Bystander::new(&kv);
    let mut slow: Vec<_> = (0..50).map(|_| kv.client()).collect();
    // Whoever is just being accepted is read in the round that began before: its bytes would be older
    // than they are.
    slow.iter_mut().for_each(|client| client.ask(b"PING\r\n", b"+PONG\r\n"));
    let mut bytes = array(&[b"SET", b"mine", &[b'x'; 1000]]).into_iter();
    let began = Instant::now();
    bystander.goes_on_until(|| {
        let byte = [bytes.next().unwrap()];
        // Whoever is closed already resets.
        slow.iter_mut().for_each(|client| drop(client.0.write(&byte)));
        kv.figure("overdue_connections") == 50
    });
    assert!(began.elapsed() >= Duration::from_secs(1));
    for client in &mut slow {
        let said = String::from_utf8(client.read_to_close()).unwrap();
        // A reset may overtake it, for these clients went on sending.
        let text =
            "-ERR closed: the request has not become whole within the server's limit of time\r\n";
        assert!(said == text || said.is_empty(), "{said}");
    }
    bystander.goes_on();
    assert_eq!(kv.figure("pool_inbox_partials"), 1);
}

fn one_byte_and_then_nothing(threads: &[&str]) {
    let kv = Kv::start(&[threads, &["--max-partial-age", "0.3"]].concat());
    let mut silent = kv.client();
    silent.send(b"*");
    silent.expect(
        b"-ERR closed: the request has not become whole within the server's limit of time\r\n",
    );
    silent.expect_closed();
    kv.wait_for("pool_inbox_used", |used| used == 0);
}

fn a_long_frame_within_the_limit_of_time(threads: &[&str]) {
    let kv = Kv::start(&[threads, &["--max-partial-age", "120"]].concat());
    let value: Vec<u8> = (0..3 << 20).map(|index| (index % 251) as u8).collect();
    let frame = array(&[b"SET", b"long", &value]);
    let mut client = kv.client();
    for piece in frame.chunks(frame.len() / 10) {
        client.send(piece);
        thread::sleep(Duration::from_millis(10));
    }
    client.expect(b"+OK\r\n");
    client.ask(b"GET long\r\n", &bulk(&value));
    assert_eq!(kv.figure("pool_inbox_used"), 0);
}

fn idle_for_too_long(threads: &[&str]) {
    let mut limits = [500, 2000, 8000, 30_000].map(Duration::from_millis).into_iter();
    let end = |limit| idle_ends_and_busy_does_not(threads, limit);
    assert!(limits.any(end), "this machine stands still");
    let kv = Kv::start(&[threads, &[]].concat());
    let mut idle = kv.client();
    thread::sleep(Duration::from_millis(600));
    idle.ask(b"PING\r\n", b"+PONG\r\n");
}

/// `false`: so long a pause was made here that the busy client was idle, too, and nothing is known.
fn idle_ends_and_busy_does_not(threads: &[&str], limit: Duration) -> bool {
    let seconds = limit.as_secs_f64().to_string();
    let kv = Kv::start(&[threads, &["--max-idle", &seconds]].concat());
    let (mut idle, mut busy) = (kv.client(), kv.client());
    idle.ask(b"PING\r\n", b"+PONG\r\n");
    busy.ask(b"PING\r\n", b"+PONG\r\n");
    let (began, mut last) = (Instant::now(), Instant::now());
    while began.elapsed() < 3 * limit {
        thread::sleep(limit / 25);
        // Sent no later than this, and the last one no earlier than that.
        let before = last;
        last = Instant::now();
        let sent = busy.0.write_all(b"PING\r\n").is_ok();
        if before.elapsed() >= limit {
            return false;
        }
        assert!(sent && busy.first() == Some(b'+'), "who sends is idle");
        busy.expect(b"+PONG\r\n");
    }
    idle.expect(b"-ERR closed: no request for longer than the server's idle limit\r\n");
    idle.expect_closed();
    true
}

fn an_announcement_of_four_gibibytes(threads: &[&str]) {
    let kv = Kv::start(&[threads, &[]].concat());
    let mut bystander = Bystander::new(&kv);
    for _ in 0..50 {
        let mut client = kv.client();
        client.ask(
            b"*2\r\n$4\r\nECHO\r\n$4294967296\r\n",
            b"-ERR Protocol error: invalid bulk length\r\n",
        );
        client.expect_closed();
        bystander.goes_on();
    }
    assert_eq!(kv.figure("pool_inbox_partials"), 1);
    assert!(kv.figure("pool_inbox_peak") <= 10 * (28 + 260));
}

/// Pipelines so many replies that they neither fit in sockets nor are ever read.
fn never_reads(kv: &Kv) -> Client {
    let mut client = kv.client();
    client.send(&b"GET big\r\n".repeat(20));
    client
}

fn replies_that_are_never_read(threads: &[&str]) {
    let kv = Kv::start(
        &[threads, &["--max-backlog", "1m", "--max-unread-age", "1", "--buffers", "64m"]].concat(),
    );
    let mut bystander = Bystander::new(&kv);
    bystander.client.send(b"ne\r\n");
    bystander.client.expect(b"$8\r\ntreasure\r\n");
    bystander.client.ask(&array(&[b"SET", b"big", &vec![b'v'; 2 << 20]]), b"+OK\r\n");
    bystander.client.send(b"*2\r\n$3\r\nGET\r\n$4\r\nmi");
    // Together they would fill more than there is.
    let clients: Vec<_> = (0..30).map(|_| never_reads(&kv)).collect();
    bystander.goes_on_until(|| kv.figure("connected_clients") == 2);
    assert!(kv.figure("overdue_connections") > 0);
    assert_eq!(kv.figure("pool_outbox_bytes"), 0);
    drop(clients);
    bystander.goes_on();
}

#[test]
fn who_leaves_most_unread_makes_room() {
    let kv = Kv::start(&["--buffers", "128m", "--max-backlog", "24m"]);
    let mut bystander = Bystander::new(&kv);
    let (long, short) = (vec![b'l'; 16 << 20], vec![b's'; 12 << 20]);
    let mut client = kv.client();
    client.ask(&array(&[b"SET", b"long", &long]), b"+OK\r\n");
    client.ask(&array(&[b"SET", b"short", &short]), b"+OK\r\n");
    // Each leaves 24 MiB unread at least, and 96 may be.
    let mut hogs: Vec<_> = (0..6).map(|_| kv.client()).collect();
    hogs.iter_mut().for_each(|hog| hog.send(&b"GET long\r\n".repeat(9)));
    kv.wait_for("paused_connections", |pauses| pauses >= 2);
    // Those who ask for less find room, and lose none of it.
    let before = kv.figure("pool_outbox_evictions");
    let mut askers = Vec::new();
    while kv.figure("pool_outbox_evictions") == before {
        assert!(askers.len() < 100, "nobody makes room");
        let mut asker = kv.client();
        asker.send(b"GET short\r\n");
        // The beginning of it has been sent, and the rest is in the outbox.
        assert_eq!(asker.first(), Some(b'$'));
        askers.push(asker);
    }
    let reply = bulk(&short);
    for mut asker in askers {
        asker.expect(&reply);
        asker.ask(b"PING\r\n", b"+PONG\r\n");
    }
    bystander.goes_on();
    drop(hogs);
    kv.wait_for("connected_clients", |clients| clients == 3);
    kv.wait_for("pool_outbox_bytes", |bytes| bytes == 0);
}

#[test]
fn replies_that_are_sipped() {
    let kv = Kv::start(&["--max-backlog", "1m", "--max-unread-age", "2"]);
    let mut bystander = Bystander::new(&kv);
    kv.client().ask(&array(&[b"SET", b"big", &vec![b'v'; 2 << 20]]), b"+OK\r\n");
    let mut client = never_reads(&kv);
    let (mut sip, mut left) = (vec![0; 50 << 10], 20 * (2 << 20));
    // A megabyte a second: never long without a byte, and far too little.
    while kv.figure("overdue_connections") == 0 {
        client.0.read_exact(&mut sip).unwrap();
        left -= sip.len();
        assert!(left > sip.len(), "it may have all of it, so slowly");
        bystander.goes_on();
        thread::sleep(Duration::from_millis(50));
    }
    kv.wait_for("pool_outbox_bytes", |bytes| bytes == 0);
}

fn resets_within_a_frame(threads: &[&str]) {
    let kv = Kv::start(&[threads, &[]].concat());
    let mut bystander = Bystander::new(&kv);
    for round in 0..100 {
        let mut client = kv.client();
        client.send(b"PING\r\n*3\r\n$3\r\nSET\r\n$4\r\nmine\r\n$6\r\nsto");
        // Closing with an unread reply resets.
        assert_eq!(client.first(), Some(b'+'), "round {round}");
        drop(client);
        bystander.goes_on();
    }
    kv.wait_for("connected_clients", |clients| clients == 2);
    assert_eq!(kv.figure("pool_inbox_partials"), 1);
    bystander.goes_on();
}

#[test]
fn more_partials_than_fit() {
    // Each takes a chunk of 260 bytes and an entry of 26.
    const FIT: u64 = (64 << 10) / (260 + 26);
    let kv = Kv::start(&["--partials", "64k"]);
    let mut bystander = Bystander::new(&kv);
    let mut hoarders = Vec::new();
    for index in 0..400 {
        let mut client = kv.client();
        client.send(b"*1\r\n$99\r\nx");
        hoarders.push(client);
        if index % 10 == 0 {
            bystander.goes_on();
        }
    }
    // Who finds no room is told, unless somebody has kept the server waiting for a second.
    bystander.goes_on_until(|| {
        kv.figure("pool_inbox_rejected") + kv.figure("pool_inbox_evictions") >= 400 - FIT
    });
    assert!(kv.figure("pool_inbox_used") <= 64 << 10);
    let before = kv.figure("pool_inbox_evictions");
    thread::sleep(Duration::from_millis(1200));
    // Now the oldest goes, and is told so.
    for _ in 0..10 {
        bystander.goes_on();
        let mut client = kv.client();
        client.send(b"*1\r\n$99\r\nx");
        hoarders.push(client);
    }
    bystander.goes_on_until(|| kv.figure("pool_inbox_evictions") >= before + 10);
    hoarders[0].expect(b"-OOM no memory for this connection's request\r\n");
    hoarders[0].expect_closed();
    drop(hoarders);
    kv.wait_for("pool_inbox_partials", |partials| partials == 1);
    bystander.goes_on();
}

fn killed_clients_leave_their_places(threads: &[&str]) {
    let kv = Kv::start(&[threads, &["--max-connections", "20"]].concat());
    let mut bystander = Bystander::new(&kv);
    for _ in 0..20 {
        let mut victims: Vec<_> = (0..10).map(|_| kv.client()).collect();
        for client in &mut victims {
            client.ask(b"PING\r\n", b"+PONG\r\n");
            client.send(b"*2\r\n$4\r\nECHO\r\n");
        }
        let mut killer = kv.client();
        killer.ask(b"CLIENT KILL TYPE normal SKIPME yes\r\nPING\r\n", b":11\r\n+PONG\r\n");
        // Gone before the next one counts.
        killer.ask(b"QUIT\r\n", b"+OK\r\n");
        killer.expect_closed();
        for client in &mut victims {
            assert!(client.read_to_close().is_empty());
        }
        assert!(bystander.client.read_to_close().is_empty());
        // Its place, and those of the others, have new owners, who hear nothing of the old ones.
        bystander = Bystander::new(&kv);
        bystander.goes_on();
    }
    kv.wait_for("connected_clients", |clients| clients == 2);
    assert_eq!(kv.figure("pool_inbox_partials"), 1);
}
