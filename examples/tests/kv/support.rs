//! Servers that end with the test, and clients that give up after a while.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes longer than this, on the slowest of machines.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A child process that does not outlive its owner.
pub struct Owned(pub Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running `kv`.
pub struct Kv {
    pub process: Owned,
    pub port: u16,
    pub banner: String,
}

impl Kv {
    pub fn start(args: &[&str]) -> Self {
        // Many tests at once have some hundreds each.
        raise_descriptors(4 * SPARE);
        let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
        command.args(["--port", "0"]).args(args);
        Self::run(command)
    }

    /// A server that the command starts.
    pub fn run(mut command: Command) -> Self {
        let mut process = Owned(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(process.0.stdout.as_mut().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ctrl-C") {
            assert!(lines.read_line(&mut banner).unwrap() > 0, "kv said only {banner:?}");
        }
        let (_, rest) = banner.split_once("127.0.0.1:").unwrap();
        let port = rest.lines().next().unwrap().parse().unwrap();
        Self { process, port, banner }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// One figure of `INFO`.
    pub fn figure(&self, name: &str) -> u64 {
        let info = self.client().info();
        let prefix = format!("{name}:");
        let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name} in {info}")).parse().unwrap()
    }

    /// Waits until a figure is as expected.
    pub fn wait_for(&self, name: &str, expected: impl Fn(u64) -> bool) {
        let start = Instant::now();
        loop {
            let value = self.figure(name);
            if expected(value) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{name} is {value}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A connection that speaks bytes.
pub struct Client(pub TcpStream);

impl Client {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Reads as many bytes as `expected` has, and they must be those.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        self.0.read_exact(&mut got).unwrap();
        assert!(got == expected, "got {:?}, expected {:?}", show(&got), show(expected));
    }

    #[track_caller]
    pub fn ask(&mut self, request: &[u8], expected: &[u8]) {
        self.send(request);
        self.expect(expected);
    }

    /// The bytes up to the next line end, as text.
    pub fn line(&mut self) -> String {
        let line = self.text_line();
        line.strip_suffix('\r').map(str::to_owned).unwrap_or(line)
    }

    /// The same, but a carriage return stays.
    pub fn text_line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        line.pop();
        String::from_utf8(line).unwrap()
    }

    /// The words of an array of strings.
    pub fn words(&mut self) -> Vec<String> {
        let count: usize = self.line()[1..].parse().unwrap();
        let word = |_| {
            self.line();
            self.line()
        };
        (0..count).map(word).collect()
    }

    /// The next byte, however long it takes to come; it stays unread. `None`: the server has closed.
    #[track_caller]
    pub fn first(&self) -> Option<u8> {
        let mut first = [0];
        match self.0.peek(&mut first) {
            Ok(len) => (len == 1).then_some(first[0]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The server has closed, and said nothing more.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        let rest = self.read_to_close();
        assert!(rest.is_empty(), "{:?}", show(&rest));
    }

    /// Everything until the server closes; a reset counts as that.
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => rest,
        }
    }

    pub fn finish_sending(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    pub fn info(&mut self) -> String {
        self.send(b"INFO\r\n");
        String::from_utf8(self.bulk()).unwrap()
    }

    /// A string, as long as it says, and the line end behind it.
    #[track_caller]
    pub fn bulk(&mut self) -> Vec<u8> {
        let header = self.line();
        let len = header.strip_prefix('$').and_then(|len| len.parse::<usize>().ok());
        let mut text = vec![0; len.unwrap_or_else(|| panic!("no string but {header}")) + 2];
        self.0.read_exact(&mut text).unwrap();
        text
    }
}

/// The beginning of some bytes, readable.
fn show(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(300)].escape_ascii().to_string()
}

/// A request as an array.
pub fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(bulk(word));
    }
    out
}

pub fn bulk(word: &[u8]) -> Vec<u8> {
    let mut out = format!("${}\r\n", word.len()).into_bytes();
    out.extend(word);
    out.extend(b"\r\n");
    out
}

/// Descriptors of everything else in the test program.
const SPARE: u64 = 2000;

/// Connections that one test may have beside all others, while it keeps this.
pub struct Crowd {
    pub granted: u64,
    _alone: MutexGuard<'static, ()>,
}

/// So many, if the system grants as many descriptors; else as many as it grants, and it says so. One
/// test at a time has a crowd.
pub fn crowd(wanted: u64) -> Crowd {
    static ONE: Mutex<()> = Mutex::new(());
    let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let granted = wanted.min(raise_descriptors(wanted + SPARE).saturating_sub(SPARE));
    if granted < wanted {
        // Not `eprintln!`, which the test harness keeps to itself when a test passes.
        let _ =
            writeln!(io::stderr(), "REDUCED: {granted} of {wanted} connections: see ulimit -Hn");
    }
    assert!(granted >= 500, "{granted} connections are too few");
    Crowd { granted, _alone: alone }
}

/// Raises the limit of descriptors to so many if need be and the system lets it, for servers started from
/// now on as well; the limit.
fn raise_descriptors(wanted: u64) -> u64 {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let wanted = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    if current >= wanted {
        return current;
    }
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_or(current, |()| wanted)
}

/// An installed program. Where it is missing the caller's test is skipped, loudly, or fails where
/// clients are required, with `POOLS_REQUIRE_CLIENTS`.
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|at| at.is_file());
    if found.is_none() {
        assert!(
            !required(),
            "{program} is not installed (Debian: redis-tools, redis-server, chromium, nginx-light)"
        );
        // Not `eprintln!`, which the test harness keeps to itself when a test passes.
        let _ = writeln!(io::stderr(), "SKIPPED: {program} is not installed");
    }
    found
}

/// Whether a missing client is a failure.
pub fn required() -> bool {
    std::env::var_os("POOLS_REQUIRE_CLIENTS").is_some()
}

/// Runs a program to its end, or kills it.
pub fn run(command: &mut Command) -> Output {
    run_within(PATIENCE, command)
}

/// The same with a time of its own.
pub fn run_within(patience: Duration, command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Owned(child);
    let out = drain(child.0.stdout.take().unwrap());
    let err = drain(child.0.stderr.take().unwrap());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < patience, "{command:?} has not ended");
        thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

/// Reads a pipe on a thread of its own.
fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}
