//! The same random programs to `kv` and to a real `redis-server`: the same replies, byte by byte.

use crate::support::{Client, Kv, Owned, PATIENCE, array, installed};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Programs run; the seed of each is its number.
const PROGRAMS: u64 = 100;

/// Requests of one program.
const REQUESTS: usize = 200;

/// A real server on a free port, which ends with its owner.
pub fn redis() -> Option<(Owned, u16)> {
    let server = installed("redis-server")?;
    if !is_compared_with(&server) {
        return None;
    }
    let started = (0..20).find_map(|_| start(&server));
    Some(started.expect("redis-server finds no port"))
}

/// Whether it is of the version whose replies ours are to be: others word some differently.
fn is_compared_with(server: &Path) -> bool {
    let out = Command::new(server).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let same = version.contains(" v=7.0.");
    if !same {
        let _ = writeln!(std::io::stderr(), "SKIPPED: not Redis 7.0 but {version}");
    }
    same
}

/// `None`: somebody else has taken the port meanwhile.
fn start(server: &Path) -> Option<(Owned, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(server);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
    command.args(["--databases", "1"]);
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).stdout(Stdio::null());
    let mut process = Owned(command.spawn().unwrap());
    let mine = format!("\r\nprocess_id:{}\r\n", process.0.id());
    let start = Instant::now();
    loop {
        if process.0.try_wait().unwrap().is_some() {
            return None;
        }
        // Who answers there may be another server.
        if TcpStream::connect(("127.0.0.1", port)).is_ok()
            && Client::connect(port).info().contains(&mine)
        {
            return Some((process, port));
        }
        assert!(start.elapsed() < PATIENCE, "redis-server does not listen");
        thread::sleep(Duration::from_millis(10));
    }
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

/// Requests over all types of values. Where Redis orders by a hash there is one element at most.
const COLLECTIONS: &[&str] = &[
    "SET K S",
    "GET K",
    "APPEND K S",
    "INCR K",
    "INCRBYFLOAT K 1",
    "STRLEN K",
    "SETRANGE K 1 S",
    "GETRANGE K 0 -1",
    "GETSET K S",
    "GETDEL K",
    "GETEX K",
    "SET K S GET",
    "SETNX K S",
    "MGET K K",
    "DEL K",
    "DEL K",
    "EXPIRE K 1000",
    "PERSIST K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE",
    "TYPE K",
    "OBJECT ENCODING K",
    "OBJECT ENCODING K",
    "SCAN 0 COUNT 1000 MATCH P TYPE hash",
    "SCAN 0 COUNT 1000 MATCH P TYPE ZSET",
    "EXISTS K",
    "FLUSHALL",
    "LPUSH K V W W",
    "LPUSH K W",
    "RPUSH K W W W W",
    "LPUSHX K W",
    "RPUSHX K W W",
    "LPOP K",
    "RPOP K",
    "LPOP K I",
    "RPOP K 2",
    "RPOP K N",
    "LPOP K 1 2",
    "LLEN K",
    "LRANGE K 0 -1",
    "LRANGE K I I",
    "LRANGE K N N",
    "LINDEX K I",
    "LINDEX K N",
    "LSET K I W",
    "LSET K N V",
    "LREM K I W",
    "LREM K N W",
    "LTRIM K I I",
    "LTRIM K 1 -2",
    "LTRIM K N N",
    "LPUSH K",
    "LSET K 1",
    "HSET K W V",
    "HSET K W N W W W W",
    "HMSET K W W",
    "HSET K W W W",
    "HSET K long L",
    "HGET K W",
    "HMGET K W W zork",
    "HGETALL small",
    "HSET small W W",
    "HDEL small W",
    "HKEYS small",
    "HVALS small",
    "HSCAN small 0",
    "HSCAN small 0 MATCH P COUNT 5",
    "HSCAN K x",
    "HSCAN K 0 zork",
    "HSCAN zork 0 zork",
    "HDEL K W W",
    "HLEN K",
    "HEXISTS K W",
    "HINCRBY K W N",
    "HINCRBY K W 3",
    "HINCRBY K W 9223372036854775807",
    "HSET K",
    "SADD K W W",
    "SADD K I I I",
    "SADD K V",
    "SREM K W I",
    "SISMEMBER K W",
    "SCARD K",
    "SADD one a",
    "SPOP one",
    "SPOP one I",
    "SPOP K 0",
    "SPOP zork 3",
    "SPOP one N",
    "SPOP one 1 2",
    "SMEMBERS one",
    "SRANDMEMBER one",
    "SRANDMEMBER one 3",
    "SRANDMEMBER one -3",
    "SRANDMEMBER one x",
    "SRANDMEMBER one 1 2",
    "SRANDMEMBER zork",
    "SRANDMEMBER zork 3",
    "SSCAN one 0",
    "SSCAN K zork",
    "SMEMBERS zork",
    "ZADD K D W",
    "ZADD K D W D W D W",
    "ZADD K I W I W",
    "ZADD K NX D W",
    "ZADD K XX CH D W",
    "ZADD K GT CH D W",
    "ZADD K LT D W",
    "ZADD K INCR D W",
    "ZADD K XX INCR D W",
    "ZADD K O W",
    "ZADD K INCR O W",
    "ZADD K XX O W",
    "ZREVRANGE K I I",
    "ZREVRANGE K 0 -1 WITHSCORES",
    "ZREVRANGE K 0 -1 REV",
    "SRANDMEMBER K -9223372036854775808",
    "GETEX K EX B",
    "HSCAN small N COUNT B",
    "ZADD K NX XX 1 a",
    "ZADD K NX GT 1 a",
    "ZADD K LT GT 1 a",
    "ZADD K INCR 1 a 2 b",
    "ZADD K 1 a 2",
    "ZADD K zork a",
    "ZADD K nan a",
    "ZADD K 1 L",
    "ZPOPMIN K",
    "ZPOPMIN K I",
    "ZPOPMIN K N",
    "ZPOPMIN K 1 2",
    "ZRANGE K 0 -1",
    "ZRANGE K 0 -1 WITHSCORES",
    "ZRANGE K I I REV WITHSCORES",
    "ZRANGE K N N",
    "ZRANGE K 0 -1 zork",
    "ZSCORE K W",
    "ZCARD K",
    "ZREM K W W",
];

/// Requests with a word for each letter in capitals: `K` a key, `V` any bytes, `S` short text, `N` a
/// number or nearly, `B` such a one that is no short
/// span, `F` one with a point, `W` one of few words, `I` a small number, `D` a score, `O` an odd one, `L` a long word, `E` an end in the far future, `P` a pattern.
///
/// Sums of points have a key of their own: beyond 64 bits ours are exact, and Redis rounds. Nothing
/// whose reply depends on the moment or on a hash: no `TTL` of a relative end, and `KEYS`
/// and `SCAN` with patterns that one key at most matches.
const FORMS: &[&str] = &[
    "SET K V",
    "SET K V",
    "set K S",
    "SET K N",
    "SET K F",
    "GET K",
    "GET K",
    "gEt K",
    "DEL K K K",
    "SET K V NX",
    "SET K V XX",
    "SET K V GET",
    "SET K S NX GET",
    "SET K V EX 1000",
    "SET K V PX B",
    "SET K S EX B",
    "SET K V EXAT E",
    "SET K V KEEPTTL",
    "SET K V XX KEEPTTL GET",
    "SET K V NX XX",
    "SET K V EX 100 KEEPTTL",
    "SET K V EX 10 PX 10",
    "SET K V EX",
    "SET K V PXAT B",
    "SET K V zork",
    "SETNX K V",
    "SETEX K 1000 V",
    "SETEX K B V",
    "PSETEX K 1000000 V",
    "PSETEX K B V",
    "GETSET K V",
    "GETDEL K",
    "GETEX K",
    "GETEX K PERSIST",
    "GETEX K EXAT E",
    "GETEX K EX B",
    "GETEX K PXAT B",
    "SET lasting S PXAT 9223372036854775807",
    "PEXPIRETIME lasting",
    "GETEX K EX 10 PERSIST",
    "GETEX K KEEPTTL",
    "MGET K K K",
    "MSET K V K N",
    "MSET K V K",
    "MSETNX K V K V",
    "MSETNX K V K",
    "APPEND K S",
    "APPEND K N",
    "STRLEN K",
    "SETRANGE K 3 S",
    "SETRANGE K N S",
    "SETRANGE K 999999999999 S",
    "SETRANGE K 5 ",
    "GETRANGE K N N",
    "GETRANGE K -3 -1",
    "GETRANGE K 1 N",
    "SUBSTR K 0 2",
    "INCR K",
    "DECR K",
    "INCRBY K N",
    "DECRBY K N",
    "INCRBY K 9223372036854775807",
    "DECRBY K -9223372036854775808",
    "SET fl F",
    "INCRBYFLOAT fl F",
    "INCRBYFLOAT fl F",
    "OBJECT ENCODING fl",
    "INCRBYFLOAT fl zork",
    "UNLINK K K",
    "EXISTS K K",
    "TOUCH K K",
    "TYPE K",
    "KEYS P",
    "SCAN 0 COUNT 1000 MATCH P",
    "SCAN 0 COUNT 1000 MATCH P TYPE string",
    "SCAN 0 COUNT 100 MATCH P TYPE list",
    "SCAN zork",
    "SCAN 0 COUNT 0",
    "SCAN 0 COUNT x",
    "SCAN 0 zork x",
    "SCAN 0 MATCH",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE",
    "COPY K K DB 0 REPLACE",
    "COPY K K DB 1",
    "COPY K K DB x",
    "COPY K K zork",
    "OBJECT ENCODING K",
    "OBJECT ENCODING",
    "OBJECT zork K",
    "OBJECT",
    "EXPIRE K B",
    "EXPIRE K 1000",
    "PEXPIRE K B",
    "EXPIREAT K E",
    "PEXPIREAT K B",
    "EXPIREAT K E NX",
    "EXPIREAT K E XX",
    "EXPIREAT K E GT",
    "EXPIREAT K E LT",
    "EXPIRE K 10 NX GT",
    "EXPIRE K 10 GT LT",
    "EXPIRE K 10 zork",
    "EXPIRE K 9223372036854775807",
    "EXPIRE K x",
    "SET lasting S EXAT E",
    "EXPIREAT lasting E",
    "EXPIRETIME lasting",
    "PERSIST K",
    "DBSIZE",
    "FLUSHALL zork",
    "FLUSHALL",
    "FLUSHDB ASYNC",
    "ECHO V",
    "PING",
    "PING V",
    "SELECT 0",
    "SELECT 1",
    "SELECT x",
    "SELECT N",
    "CLIENT LIST ID -1",
    "CLIENT LIST ID x",
    "AUTH x",
    "AUTH default x",
    "AUTH zork x",
    "AUTH a b c",
    "HELLO 4",
    "HELLO x",
    "HELLO 3 zork",
    "HELLO 3 AUTH zork x",
    "CLIENT SETNAME S",
    "CLIENT SETNAME zork",
    "CLIENT GETNAME",
    "CLIENT zork",
    "CLIENT SETNAME",
    "CLIENT KILL 1.2.3.4:5",
    "CLIENT KILL ID x",
    "CLIENT KILL zork x",
    "CLIENT KILL ID 99999999",
    "CLIENT NO-EVICT on",
    "CLIENT NO-EVICT x",
    "RESET",
    "MEMORY zork",
    "MEMORY USAGE",
    "CONFIG GET save",
    "CONFIG GET SAVE",
    "CONFIG GET s[a]ve",
    "CONFIG GET zork",
    "CONFIG SET zork x",
    "CONFIG SET databases 4",
    "CONFIG SET databases",
    "CONFIG SET maxmemory x",
    "CONFIG SET maxmemory 1kb databases 4",
    "CONFIG SET maxmemory 1kb zork 4",
    "CONFIG SET maxmemory 1kb zork",
    "CONFIG GET",
    "CONFIG",
    "config zork x",
    "COMMAND DOCS zork",
    "COMMAND INFO zork",
    "COMMAND zork",
    "command count x",
    "ZORK V K V",
    "zo\rrk V",
    "ZORK V",
    "GET",
    "get a b",
    "SET a",
    "DEL",
    "PING a b",
    "echo",
    "ECHO a b",
    "MGET",
    "MSET a",
    "SETEX a 1",
    "INCR",
    "INCRBY a",
    "APPEND a",
    "EXPIRE a",
    "TTL",
    "SCAN",
    "COPY a",
    "RENAME a",
    "DBSIZE x",
    "SELECT",
    "HELLO x y",
    "CLIENT",
    "CLIENT ID x",
    "CLIENT GETNAME x",
    "MEMORY",
    "RANDOMKEY x",
];

/// The words of one request, right or wrong.
fn request(random: &mut Random, forms: &[&str]) -> Vec<Vec<u8>> {
    let form = forms[random.below(forms.len())];
    form.split(' ').map(|word| fill_in(random, word)).collect()
}

fn fill_in(random: &mut Random, word: &str) -> Vec<u8> {
    const NUMBERS: &[&[u8]] = &[
        b"0",
        b"1",
        b"-1",
        b"7",
        b"-12",
        b"100",
        b"3.5",
        b"",
        b"x",
        b" 1",
        b"1 ",
        b"+1",
        b"01",
        b"-0",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"9223372036854775808",
        b"99999999999999999999",
    ];
    const SPANS: &[&[u8]] = &[
        b"0",
        b"-1",
        b"-12",
        b"1000000",
        b"3.5",
        b"",
        b"x",
        b"+1",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"9223372036854775808",
    ];
    const FLOATS: &[&[u8]] = &[
        b"0.1", b"0.25", b"-1.5", b"3", b"2.5e1", b"-0.75", b"-2", b"1.", b".5", b"x", b"", b"1e",
    ];
    const PATTERNS: &[&[u8]] = &[b"a", b"[b]", b"key:?", b"oth*", b"k*1", b"zork", b"[^a-z]\r\n"];
    const WORDS: &[&[u8]] = &[b"a", b"b", b"c", b"12", b"-7", b"", b"d\r\n"];
    const SCORES: &[&[u8]] = &[
        b"0", b"1", b"-1", b"2.5", b"0.1", b"1e20", b"-1e-7", b"inf", b"-inf", b"3", b"1e17", b"-0",
    ];
    // Scores too, and what only looks like one.
    const ODD: &[&[u8]] = &[
        b"1e400",
        b"-1e309",
        b"1e-400",
        b"0x1p3",
        b"-0X.8p1",
        b"0x1p9999",
        b"0x",
        b"4.9e-324",
        b"1e",
        b"infinity",
        b"1_0",
        b"0e-999",
        b" 1",
        b"1 ",
        b"+5.",
        b"0x1.999999999999ap-4",
    ];
    const SHORT: &[&[u8]] = &[b"abc", b"12", b"x y", b"", b"0", b"name"];
    match word {
        "K" => random.key(),
        "V" => random.word(),
        "S" => random.pick(SHORT).to_vec(),
        "N" => random.pick(NUMBERS).to_vec(),
        "B" => random.pick(SPANS).to_vec(),
        "F" => random.pick(FLOATS).to_vec(),
        "E" => (9_000_000_000 + random.below(5)).to_string().into_bytes(),
        "P" => random.pick(PATTERNS).to_vec(),
        "W" => random.pick(WORDS).to_vec(),
        "I" => (random.below(9) as i64 - 3).to_string().into_bytes(),
        "D" => random.pick(SCORES).to_vec(),
        "O" => random.pick(ODD).to_vec(),
        "L" => vec![b'l'; 64 + random.below(2)],
        word => word.as_bytes().to_vec(),
    }
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

/// Sends a program in pieces, and gives all replies until the server closes; `None` if it has reset the
/// connection, which it does when bytes come behind the last that it has read: some replies may be lost then.
fn replies(port: u16, program: &[u8], pieces: usize) -> Option<Vec<u8>> {
    let mut client = Client::connect(port);
    let mut sender = Client(client.0.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut pieces = program.chunks(program.len().div_ceil(pieces));
            // Who has closed takes no more.
            pieces.all(|piece| sender.0.write_all(piece).is_ok())
        });
        let mut all = Vec::new();
        match client.0.read_to_end(&mut all) {
            Ok(_) => Some(all),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    })
}

const STRATEGIES: &[&[&str]] = &[
    &["--alloc", "pool"],
    &["--alloc", "std"],
    #[cfg(feature = "mimalloc")]
    &["--alloc", "mimalloc"],
    #[cfg(feature = "jemalloc")]
    &["--alloc", "jemalloc"],
];

/// Keys of several threads: nearly every command is for another thread, or for several.
const SEVERAL: &[&[&str]] = &[&["--threads", "4"], &["--threads", "3", "--alloc", "std"]];

#[test]
fn replies_are_those_of_redis() {
    compare_programs(FORMS, STRATEGIES);
}

#[test]
fn replies_about_collections_are_those_of_redis() {
    compare_programs(COLLECTIONS, STRATEGIES);
}

/// The cursors of a scan over all keys tell of threads: Redis has one.
fn without_scan(forms: &[&'static str]) -> Vec<&'static str> {
    forms.iter().copied().filter(|form| !form.starts_with("SCAN ")).collect()
}

#[test]
fn replies_of_several_threads_are_those_of_redis() {
    compare_programs(&without_scan(FORMS), SEVERAL);
}

#[test]
fn replies_of_several_threads_about_collections_are_those_of_redis() {
    compare_programs(&without_scan(COLLECTIONS), SEVERAL);
}

fn compare_programs(forms: &[&str], servers: &[&[&str]]) {
    let Some((_redis, redis_port)) = redis() else { return };
    let servers: Vec<_> = servers.iter().map(|args| Kv::start(args)).collect();
    for seed in 0..PROGRAMS {
        let mut random = Random(seed);
        let mut program = b"FLUSHALL\r\n".to_vec();
        if random.below(3) == 0 {
            // Its own reply has the connection's number in it.
            program.extend(b"HELLO 3\r\n");
        }
        for _ in 0..REQUESTS {
            let words = request(&mut random, forms);
            program.extend(encode(&mut random, &words));
        }
        program.extend(ending(&mut random));
        let pieces = 1 + random.below(40);
        for kv in &servers {
            agree(seed, &program, pieces, [kv.port, redis_port]);
        }
    }
}

/// Runs the program on both servers, and their replies must be the same. It is run again if a reset has cut
/// some off, and for nothing else: no reply tells the time.
#[track_caller]
fn agree(seed: u64, program: &[u8], pieces: usize, ports: [u16; 2]) {
    for _ in 0..RESETS {
        if let [Some(ours), Some(theirs)] = ports.map(|port| replies(port, program, pieces)) {
            return assert_same(seed, behind_hello(&ours), behind_hello(&theirs));
        }
    }
    panic!("program {seed} is reset each time");
}

/// Resets of one program that are put up with.
const RESETS: u32 = 20;

/// What follows the reply to `HELLO`, if there is one: versions and numbers differ.
fn behind_hello(replies: &[u8]) -> &[u8] {
    let end: &[u8] = b"$7\r\nmodules\r\n*0\r\n";
    let at = replies.windows(end.len()).position(|window| window == end);
    at.map_or(replies, |at| &replies[at + end.len()..])
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
