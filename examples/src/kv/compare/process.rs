//! Servers as processes: started, asked what they take, and ended.
#![forbid(unsafe_code)]

use crate::kv::descriptors::raise;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Descriptors beside the connections: standard streams, polls, libraries.
const SPARE: u64 = 200;

/// How long a server may take to listen, or to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Raises the limit of descriptors, for the servers too, which inherit it; how many connections that
/// is enough for, `wanted` at most.
pub(super) fn raise_descriptors(wanted: u32) -> u32 {
    let granted = raise(u64::from(wanted) + SPARE);
    u32::try_from(granted.saturating_sub(SPARE)).unwrap_or(u32::MAX).clamp(1, wanted)
}

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Redis'.
    Resp,
    /// HTTP/1.1.
    Http,
}

impl Protocol {
    /// The smallest request.
    pub(super) const fn ping(self) -> &'static [u8] {
        match self {
            Self::Resp => b"PING\r\n",
            Self::Http => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        }
    }

    /// How an answer to it ends.
    pub(super) const fn pong_end(self) -> &'static [u8] {
        match self {
            Self::Resp => b"+PONG\r\n",
            Self::Http => b"\r\n\r\nhello\n",
        }
    }
}

/// A server that can be started. Its arguments may contain `{port}`, `{more}` and `{double}`, somewhat
/// more than the connections and than twice as many, and `{dir}`, which is an empty directory.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) protocol: Protocol,
    /// Whether it can count calls of the system's allocator.
    pub(super) counts: bool,
    /// A file in `{dir}`, with the same placeholders.
    pub(super) file: Option<(&'static str, &'static str)>,
}

impl Server {
    /// This program with a memory strategy, and so many bytes for its data.
    pub(super) fn ours(strategy: &str, memory: usize) -> Self {
        let memory = memory.to_string();
        let connections = ["--port", "{port}", "--max-connections", "{more}"];
        let data = ["--memory", &memory, "--alloc", strategy];
        Self {
            name: format!("kv {strategy}"),
            program: std::env::current_exe().unwrap_or_else(|_| "kv".into()),
            arguments: [connections, data].concat().into_iter().map(str::to_owned).collect(),
            protocol: Protocol::Resp,
            counts: true,
            file: None,
        }
    }

    /// The same, with calls of the system's allocator counted, if it can. Counting has a cost of its own.
    pub(super) fn counting(&self) -> Option<Self> {
        let mut counting = self.clone();
        counting.arguments.push("--count-calls".to_owned());
        Some(counting).filter(|_| self.counts)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn speaks_resp(&self) -> bool {
        self.protocol == Protocol::Resp
    }

    /// Starts it, for so many connections at once.
    pub(super) fn start(&self, connections: u32) -> io::Result<Running> {
        // Taken and given back: the server is the next to ask.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let dir = std::env::temp_dir().join(format!("kv-compare-{}-{port}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let fill = |text: &str| {
            text.replace("{port}", &port.to_string())
                .replace("{more}", &(connections + 100).to_string())
                .replace("{double}", &(2 * connections + 100).to_string())
                .replace("{dir}", &dir.to_string_lossy())
        };
        if let Some((name, text)) = self.file {
            fs::write(dir.join(name), fill(text))?;
        }
        let arguments = self.arguments.iter().map(|argument| OsString::from(fill(argument)));
        let child = Command::new(&self.program)
            .args(arguments)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut running = Running { child, port, protocol: self.protocol, dir };
        running.wait()?;
        Ok(running)
    }
}

/// A server process; it ends with its owner.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    port: u16,
    protocol: Protocol,
    dir: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Running {
    /// Waits until it answers.
    fn wait(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}: {}", self.said())));
            }
            if self.connect().and_then(|mut client| self.ping(&mut client)).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))
    }

    /// The end of what a process that has ended wrote to its standard error.
    fn said(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = pipe.read_to_string(&mut text);
        }
        text.trim().lines().last().unwrap_or_default().to_owned()
    }

    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        let client = TcpStream::connect(("127.0.0.1", self.port))?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        client.set_nodelay(true)?;
        Ok(client)
    }

    /// One request and its answer.
    pub(super) fn ping(&self, client: &mut TcpStream) -> io::Result<()> {
        client.write_all(self.protocol.ping())?;
        let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(self.protocol.pong_end()) {
            match client.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => answer.extend_from_slice(&piece[..len]),
            }
        }
        Ok(())
    }

    /// One figure of `INFO`, of those who have it.
    pub(super) fn figure(&self, name: &str) -> Option<u64> {
        let mut client = self.connect().ok()?;
        client.write_all(b"INFO\r\n").ok()?;
        let mut reader = BufReader::new(client);
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let len: usize = header.strip_prefix('$')?.trim().parse().ok()?;
        let mut text = vec![0; len];
        reader.read_exact(&mut text).ok()?;
        let text = String::from_utf8(text).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
    }

    fn proc(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join(file))
    }

    /// Bytes of its own memory that it has: anonymous pages, as the system counts them. Sockets'
    /// buffers are the system's.
    pub(super) fn memory(&self) -> io::Result<u64> {
        let text = self.proc("smaps_rollup")?;
        let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("smaps_rollup is not as expected"))
    }

    /// The same when it no longer sinks: what a cache gives back after a while is not waited for for
    /// ever.
    pub(super) fn settled_memory(&self) -> io::Result<u64> {
        const STEP: Duration = Duration::from_millis(100);
        let (mut least, mut calm) = (self.memory()?, 0);
        let start = Instant::now();
        while calm < 25 && start.elapsed() < PATIENCE {
            thread::sleep(STEP);
            let now = self.memory()?;
            calm = if now < least - least / 100 { 0 } else { calm + 1 };
            least = least.min(now);
        }
        self.memory()
    }

    /// What it has used so far.
    pub(super) fn usage(&self) -> io::Result<Usage> {
        let stat = self.proc("stat")?;
        // Behind the name, which is in parentheses and may contain anything.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let faults = fields.get(7).and_then(|field| field.parse().ok());
        let mut processor = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            processor += text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        }
        Ok(Usage {
            processor: Duration::from_nanos(processor),
            faults: faults.ok_or_else(|| io::Error::other("/proc has no faults"))?,
            allocator_calls: self.figure("system_allocator_calls"),
        })
    }
}

/// Servers on one processor and this thread on the others, until it is dropped. Where there is but one
/// everything stays as it is.
#[derive(Debug)]
pub(super) struct Apart {
    /// What this thread may use otherwise, and what servers get.
    sets: Option<(CpuSet, CpuSet)>,
}

impl Apart {
    pub(super) fn new() -> Self {
        let Ok(all) = sched_getaffinity(None) else { return Self { sets: None } };
        let (mut server, mut driver) = (CpuSet::new(), all);
        let last = (0..CpuSet::MAX_CPU).rev().find(|&processor| all.is_set(processor));
        if let (Some(last), 2..) = (last, all.count()) {
            server.set(last);
            driver.unset(last);
            if sched_setaffinity(None, &driver).is_ok() {
                return Self { sets: Some((all, server)) };
            }
        }
        Self { sets: None }
    }

    /// Puts all threads of a server on its processor.
    pub(super) fn place(&self, running: &Running) {
        let Some((_, server)) = &self.sets else { return };
        let tasks = fs::read_dir(format!("/proc/{}/task", running.child.id()));
        for task in tasks.into_iter().flatten().flatten() {
            let id = task.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(id) = id.and_then(Pid::from_raw) {
                // One that has ended meanwhile needs none.
                let _ = sched_setaffinity(Some(id), server);
            }
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some((all, _)) = &self.sets {
            let _ = sched_setaffinity(None, all);
        }
    }
}

/// Counters of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Time on a processor, of all threads, in the program and in the system.
    pub(super) processor: Duration,
    /// Page faults that needed no device.
    pub(super) faults: u64,
    /// Calls of the system's allocator, of those who count them.
    pub(super) allocator_calls: Option<u64>,
}
