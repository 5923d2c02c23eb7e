//! One connection's turn: read, parse, execute, write.
#![forbid(unsafe_code)]

use super::buffer::{Buffer, Buffers};
use super::command::{self, Context, Flow};
use super::memory::{Batch, Inbox, Limits, Memory};
use super::reply::{OutOfMemory, Reply};
use super::resp::{self, ArgBuf, Parsed, Progress};
use super::settings::Settings;
use super::stats::Stats;
use super::store::Store;
use mio::net::TcpStream;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

/// Reads of one turn; then others have theirs.
const READS_A_TURN: usize = 16;

/// Bytes of replies that are written at once; more of them are written while the batch goes on.
const FLUSH: usize = 64 << 10;

/// Received bytes that are thrown away before closing, so that the client gets the last reply
/// and not a reset.
const LINGER: usize = 256 << 10;

/// What the server keeps for a connection. Idle, it holds no memory but this.
pub struct Connection<M: Memory> {
    socket: TcpStream,
    partial: <M::Inbox as Inbox>::Partial,
    progress: Progress,
    /// Replies that the socket did not take. While there are any, new ones queue behind them.
    outbox: Option<Buffer<M::Source>>,
    state: State,
    /// Whether the end of its stream was announced; the announcement may have come while paused.
    ending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Not read until its replies are sent.
    Paused,
    /// Closed once its replies are sent.
    Closing,
}

impl<M: Memory> Connection<M> {
    /// A connection that nothing was read from yet.
    pub fn new(socket: TcpStream) -> Self {
        let (partial, progress) = Default::default();
        Self { socket, partial, progress, outbox: None, state: State::Open, ending: false }
    }

    /// The socket, to be registered.
    pub const fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }
}

/// What the event loop is to do with a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing, until its next event.
    Done,
    /// Give it another turn: there may be more to read.
    Again,
    /// Close it.
    Close,
}

/// The connection cannot go on: its stream failed, or its bytes found no memory.
struct Broken;

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "connection lost");
        Self
    }
}

impl From<OutOfMemory> for Broken {
    fn from(_: OutOfMemory) -> Self {
        tracing::warn!("a connection is closed because memory has run out");
        Self
    }
}

/// Everything that the connections of one thread share.
pub struct Worker<M: Memory> {
    inbox: M::Inbox,
    batch: M::Batch,
    outbox: Buffers<M::Source>,
    args: ArgBuf,
    store: Store<M>,
    settings: Settings,
    /// Counters; the event loop keeps its own here too.
    pub stats: Stats,
}

impl<M: Memory> Worker<M> {
    /// A worker with its own store.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { max_frame, memory, buffers, .. } = settings;
        let limits = Limits { max_frame, memory, buffers };
        let memory = M::new(limits);
        Self {
            inbox: memory.inbox(),
            batch: memory.batch(),
            outbox: Buffers::new(memory.source()),
            args: ArgBuf::default(),
            store: Store::new(memory),
            settings,
            stats: Stats::default(),
        }
    }

    /// Serves a connection whose socket has an event. `ending`: the end of its stream was
    /// announced, so from now on every turn reads until there is nothing more.
    pub fn turn(&mut self, connection: &mut Connection<M>, ending: bool) -> Turn {
        connection.ending |= ending;
        let turn = self.send_and_receive(connection).unwrap_or(Turn::Close);
        if connection.state == State::Closing {
            self.inbox.discard(&mut connection.partial);
        }
        self.inbox.settle(&mut connection.partial);
        turn
    }

    /// Frees what a connection holds. Its socket closes when it is dropped.
    pub fn close(&mut self, connection: &mut Connection<M>) {
        self.inbox.discard(&mut connection.partial);
        if let Some(buffer) = connection.outbox.take() {
            self.outbox.put(buffer);
        }
        discard_input(&mut connection.socket);
    }

    fn send_and_receive(&mut self, connection: &mut Connection<M>) -> Result<Turn, Broken> {
        let paused = connection.state == State::Paused;
        self.send_outbox(connection)?;
        if paused && connection.outbox.is_none() {
            connection.state = State::Open;
            self.serve(connection)?;
        }
        let turn = self.receive(connection)?;
        let closing = connection.state == State::Closing && connection.outbox.is_none();
        Ok(if closing { Turn::Close } else { turn })
    }

    /// Reads and serves until the socket has no more, or the turn is over.
    fn receive(&mut self, connection: &mut Connection<M>) -> Result<Turn, Broken> {
        for _ in 0..READS_A_TURN {
            if connection.state != State::Open {
                return Ok(Turn::Done);
            }
            let read = match self.inbox.read(&mut connection.partial, &mut connection.socket) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Done),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return self.give_up(connection, error),
            };
            self.stats.received += read.len as u64;
            if read.len == 0 {
                connection.state = State::Closing;
                return Ok(Turn::Done);
            }
            self.serve(connection)?;
            if read.short && SHORT_READ_IS_LAST && !connection.ending {
                return Ok(Turn::Done);
            }
        }
        Ok(Turn::Again)
    }

    /// The read failed. If it was for memory, the client is told as far as that is possible.
    fn give_up(
        &mut self,
        connection: &mut Connection<M>,
        error: io::Error,
    ) -> Result<Turn, Broken> {
        if error.kind() == ErrorKind::OutOfMemory && connection.outbox.is_none() {
            let _ = connection.socket.write(b"-OOM no memory for this connection's request\r\n");
        }
        Err(error.into())
    }

    /// Executes the whole requests that are pending, and sends their replies.
    fn serve(&mut self, connection: &mut Connection<M>) -> Result<(), Broken> {
        let Self { inbox, batch, outbox, args, store, settings, stats } = self;
        let mut reply = batch.open();
        while connection.state == State::Open {
            let pending = inbox.pending(&connection.partial);
            match resp::parse(pending, &mut connection.progress, settings.max_frame, args) {
                Ok(Parsed::Frame(len)) => {
                    let request = args.command(pending);
                    if !request.is_empty() {
                        let cx = &mut Context { store, stats, settings, inbox, outbox };
                        connection.state = execute(cx, request, &mut reply)?;
                    }
                    inbox.consume(&mut connection.partial, len);
                }
                Ok(Parsed::Partial) => break,
                Err(error) => {
                    stats.errors += 1;
                    reply.error(&error.text())?;
                    connection.state = State::Closing;
                }
            }
            if reply.as_slice().len() >= FLUSH {
                send(connection, &mut reply, outbox, stats, settings)?;
            }
        }
        send(connection, &mut reply, outbox, stats, settings)
    }

    /// Sends what an earlier turn could not.
    fn send_outbox(&mut self, connection: &mut Connection<M>) -> io::Result<()> {
        let Some(buffer) = &mut connection.outbox else {
            return Ok(());
        };
        let sent = write_all_now(&mut connection.socket, buffer.filled())?;
        buffer.consume(sent);
        self.stats.sent += sent as u64;
        if buffer.filled().is_empty() {
            if let Some(buffer) = connection.outbox.take() {
                self.outbox.put(buffer);
            }
        }
        Ok(())
    }
}

/// Whether a read that did not fill its room has emptied the socket. Epoll and kqueue tell of
/// anything that comes later by another event, so the read that would block is saved (as tokio
/// does it); elsewhere mio asks for that read.
const SHORT_READ_IS_LAST: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
));

/// Executes one request. A reply that finds no memory is replaced by an error; if that finds none
/// either, the connection is given up.
fn execute<M: Memory>(
    cx: &mut Context<'_, M>,
    request: resp::Command<'_>,
    reply: &mut impl Reply,
) -> Result<State, OutOfMemory> {
    let mark = reply.as_slice().len();
    match command::execute(cx, request, reply) {
        Ok(Flow::Continue) => Ok(State::Open),
        Ok(Flow::Close) => Ok(State::Closing),
        Err(OutOfMemory) => {
            reply.truncate(mark);
            command::error(cx, b"OOM no memory for the reply", reply)?;
            Ok(State::Open)
        }
    }
}

/// Writes the batch's replies, or queues what the socket does not take. A connection whose queue
/// has reached the limit is paused.
fn send<M: Memory>(
    connection: &mut Connection<M>,
    reply: &mut impl Reply,
    outbox: &mut Buffers<M::Source>,
    stats: &mut Stats,
    settings: &Settings,
) -> Result<(), Broken> {
    let bytes = reply.as_slice();
    let mut sent = 0;
    if connection.outbox.is_none() && !bytes.is_empty() {
        sent = write_all_now(&mut connection.socket, bytes)?;
        stats.sent += sent as u64;
    }
    if sent < bytes.len() {
        let queued = queue(&mut connection.outbox, outbox, &bytes[sent..])?;
        if queued >= settings.max_backlog && connection.state == State::Open {
            connection.state = State::Paused;
            stats.pauses += 1;
        }
    }
    reply.truncate(0);
    Ok(())
}

/// Appends to a connection's outbox, and says how many bytes it has.
#[cold]
fn queue<S: pool_core::PageSource + Clone>(
    outbox: &mut Option<Buffer<S>>,
    buffers: &mut Buffers<S>,
    bytes: &[u8],
) -> Result<usize, OutOfMemory> {
    let buffer = match outbox {
        Some(buffer) => buffer,
        None => outbox.insert(buffers.get()?),
    };
    buffers.append(buffer, bytes)?;
    Ok(buffer.filled().len())
}

/// Writes until the socket takes no more; how much it took.
fn write_all_now(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Ends the sending side, then throws away what has arrived (a bounded amount): closing a socket
/// with unread bytes resets it, and a reset may overtake the last reply.
fn discard_input(socket: &mut TcpStream) {
    let _ = socket.shutdown(Shutdown::Write);
    let mut scrap = [0; 4 << 10];
    for _ in 0..LINGER / scrap.len() {
        match socket.read(&mut scrap) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
}
