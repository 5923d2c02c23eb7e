//! The same random programs to `kv` and to a real `redis-server`: the same replies, byte by byte.

use crate::support::{Client, Kv, Owned, PATIENCE, array, installed};
use std::fmt::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Programs run; the seed of each is its number.
const PROGRAMS: u64 = 60;

/// Requests of one program.
const REQUESTS: usize = 150;

/// A real server on a free port, which ends with its owner.
fn redis() -> Option<(Owned, u16)> {
    let server = installed("redis-server")?;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(server);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
    command.args(["--databases", "1"]);
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).stdout(Stdio::null());
    let process = Owned(command.spawn().unwrap());
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < PATIENCE, "redis-server does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    Some((process, port))
}

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }

    /// A word of any bytes, mostly short.
    fn word(&mut self) -> Vec<u8> {
        let len = [0, 1, 5, 30, 400, 20_000][self.below(60) / 10].min(self.below(20_001));
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    fn key(&mut self) -> Vec<u8> {
        let keys: [&[u8]; 6] = [b"a", b"b", b"key:1", b"", b"\0\r\n", b"other"];
        self.pick(&keys).to_vec()
    }
}

/// The words of one request, right or wrong.
fn request(random: &mut Random) -> Vec<Vec<u8>> {
    let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
    let (key, value) = (random.key(), random.word());
    match random.below(16) {
        0..=3 => words(&[random.pick(&[b"SET", b"set", b"sEt"]), &key, &value]),
        4..=6 => words(&[random.pick(&[b"GET", b"get"]), &key]),
        7 => words(&[b"DEL", &key, &random.key(), &random.key()]),
        8 => words(&[b"ECHO", &value]),
        9 => words(&[b"PING"]),
        10 => words(&[b"PING", &value]),
        11 => wrong(random),
        12 => words(&[random.pick(&[b"ZORK", b"zo\r\nrk", b"zo\0rk", b""]), &value, &key, &value]),
        13 => words(&[b"ZORK", &random.word()]),
        14 => words(&[b"CONFIG", b"GET", random.pick(&[b"save", b"SAVE", b"s[a]ve", b"zork"])]),
        _ => words(&[b"COMMAND", b"DOCS", b"zork"]),
    }
}

/// A request that has too few words, too many, or unknown ones.
fn wrong(random: &mut Random) -> Vec<Vec<u8>> {
    let text: &[u8] = random.pick(&[
        b"GET",
        b"get a b",
        b"SET a",
        b"SET a b c",
        b"SET a b NX XX",
        b"set a b ex",
        b"DEL",
        b"PING a b",
        b"echo",
        b"ECHO a b",
        b"CONFIG",
        b"CONFIG GET",
        b"config zork x",
        b"COMMAND zork",
        b"command count x",
    ]);
    text.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect()
}

/// A request as an inline line, everything in it quoted by its number.
fn inline(words: &[Vec<u8>]) -> Vec<u8> {
    let mut line = String::new();
    for word in words {
        line.push('"');
        for byte in word {
            write!(line, "\\x{byte:02x}").unwrap();
        }
        line.push_str("\" ");
    }
    line.push_str("\r\n");
    line.into_bytes()
}

fn encode(random: &mut Random, words: &[Vec<u8>]) -> Vec<u8> {
    let bytes: usize = words.iter().map(Vec::len).sum();
    if random.below(4) == 0 && bytes < 10_000 {
        return inline(words);
    }
    array(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Ends as a program must: with `QUIT`, or with something that is not the protocol.
fn ending(random: &mut Random) -> &'static [u8] {
    random.pick(&[
        b"QUIT\r\n",
        b"QUIT now\r\n",
        b"*x\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$-5\r\n",
        b"*1\r\n$99999999999\r\n",
        b"*2\r\n$4\r\nPINGxxPING\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n\xff\r\n",
        b"ping \"x\r\n",
        b"ping 'x'y\r\n",
    ])
}

/// Sends a program in pieces, and gives all replies until the server closes.
fn replies(port: u16, program: &[u8], pieces: usize) -> Vec<u8> {
    let mut client = Client::connect(port);
    let mut sender = Client(client.0.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(move || {
            for piece in program.chunks(program.len().div_ceil(pieces)) {
                sender.send(piece);
            }
        });
        client.read_to_close()
    })
}

#[test]
fn replies_are_those_of_redis() {
    let Some((_redis, redis_port)) = redis() else { return };
    let servers = ["pool", "std"].map(|alloc| Kv::start(&["--alloc", alloc]));
    for seed in 0..PROGRAMS {
        let mut random = Random(seed);
        let mut program = Vec::new();
        for _ in 0..REQUESTS {
            let words = request(&mut random);
            program.extend(encode(&mut random, &words));
        }
        program.extend(ending(&mut random));
        let pieces = 1 + random.below(40);
        let theirs = replies(redis_port, &program, pieces);
        for kv in &servers {
            assert_same(seed, &replies(kv.port, &program, pieces), &theirs);
        }
    }
}

#[track_caller]
fn assert_same(seed: u64, ours: &[u8], theirs: &[u8]) {
    let Some(at) = (0..ours.len().max(theirs.len())).find(|&at| ours.get(at) != theirs.get(at))
    else {
        return;
    };
    let show = |bytes: &[u8]| {
        bytes[at.saturating_sub(60).min(bytes.len())..(at + 200).min(bytes.len())]
            .escape_ascii()
            .to_string()
    };
    panic!("program {seed}, byte {at}\nours   {}\ntheirs {}", show(ours), show(theirs));
}
