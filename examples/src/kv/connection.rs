//! One connection's turn: read, parse, execute, write.
#![forbid(unsafe_code)]

use super::buffer::{Buffer, Buffers};
use super::clients::Clients;
use super::command::{Call, Flow, Shared};
use super::memory::{Batch, Inbox, Limits, Memory};
use super::reply::{OutOfMemory, Protocol, Reply, Sink};
use super::resp::{self, Args, Parsed, Progress};
use super::settings::Settings;
use super::stats::Stats;
use super::store::Store;
use mio::net::TcpStream;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

/// Reads of one turn; then others have theirs.
const READS_A_TURN: usize = 16;

/// Bytes of replies after which a batch ends: they are written, and the next begins.
const FLUSH: usize = 64 << 10;

/// Pieces of replies that one write takes.
const PIECES: usize = 16;

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
    /// What its replies are written in.
    protocol: Protocol,
    /// Its number, as `CLIENT ID` tells it.
    id: u64,
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
    pub fn new(socket: TcpStream, id: u64) -> Self {
        let (partial, progress, protocol) = Default::default();
        let state = State::Open;
        Self { socket, partial, progress, outbox: None, state, protocol, id, ending: false }
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
    /// All below came from it; it lives as long as they do, with what it runs in the background.
    _memory: M,
    inbox: M::Inbox,
    batch: M::Batch,
    /// What commands work on.
    pub shared: Shared<M>,
}

impl<M: Memory> Worker<M> {
    /// A worker with its own store.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { max_frame, memory, buffers, .. } = settings;
        let limits = Limits { max_frame, memory, buffers };
        let memory = M::new(limits);
        let store = Store::new(memory.data(), limits.memory, settings.eviction);
        Self {
            inbox: memory.inbox(),
            batch: memory.batch(),
            shared: Shared {
                store,
                stats: Stats::default(),
                settings,
                clients: Clients::default(),
                outbox: Buffers::new(memory.source()),
            },
            _memory: memory,
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
            self.shared.outbox.put(buffer);
        }
        self.shared.clients.leave(connection.id);
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
            self.shared.stats.received += read.len as u64;
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
        while connection.state == State::Open {
            let full = self.serve_batch(connection);
            self.batch.close();
            if !full? {
                break;
            }
        }
        Ok(())
    }

    /// Executes whole requests until there are no more, or their replies are enough for a write;
    /// whether it was the latter.
    fn serve_batch(&mut self, connection: &mut Connection<M>) -> Result<bool, Broken> {
        let Self { inbox, batch, shared, .. } = self;
        let (scratch, mut replies) = batch.open();
        let mut args = Args::new(scratch);
        let max_frame = shared.settings.max_frame;
        while connection.state == State::Open && replies.len() < FLUSH {
            let pending = inbox.pending(&connection.partial);
            match resp::parse(pending, &mut connection.progress, max_frame, &mut args) {
                Ok(Parsed::Frame(len)) => {
                    let request = args.command(pending);
                    if !request.is_empty() {
                        let reply = Reply::new(&mut replies, connection.protocol);
                        let (flow, client, inbox) = (Flow::Continue, connection.id, &*inbox);
                        let mut call =
                            Call::<M> { request, reply, flow, client, scratch, shared, inbox };
                        call.execute()?;
                        connection.protocol = call.reply.protocol;
                        if call.flow == Flow::Close {
                            connection.state = State::Closing;
                        }
                    }
                    inbox.consume(&mut connection.partial, len);
                }
                Ok(Parsed::Partial) => break,
                Err(error) => {
                    shared.stats.errors += 1;
                    Reply::new(&mut replies, connection.protocol).error(&[&error.text()])?;
                    connection.state = State::Closing;
                }
            }
        }
        send(connection, &replies, shared)?;
        Ok(replies.len() >= FLUSH)
    }

    /// Sends what an earlier turn could not.
    fn send_outbox(&mut self, connection: &mut Connection<M>) -> io::Result<()> {
        let Some(buffer) = &mut connection.outbox else {
            return Ok(());
        };
        let filled = buffer.filled();
        let sent = write_now(&mut connection.socket, || std::iter::once(filled), filled.len())?;
        buffer.consume(sent);
        self.shared.stats.sent += sent as u64;
        if buffer.filled().is_empty() {
            if let Some(buffer) = connection.outbox.take() {
                self.shared.outbox.put(buffer);
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

/// Writes the batch's replies from where they are, and queues only what the socket does not take. A
/// connection whose queue has reached the limit is paused.
fn send<M: Memory>(
    connection: &mut Connection<M>,
    replies: &impl Sink,
    shared: &mut Shared<M>,
) -> Result<(), Broken> {
    let total = replies.len();
    let mut sent = 0;
    if connection.outbox.is_none() && total > 0 {
        sent = write_now(&mut connection.socket, || replies.pieces(), total)?;
        shared.stats.sent += sent as u64;
    }
    if sent < total {
        let rest = behind(replies.pieces(), sent);
        let queued = queue(&mut connection.outbox, &mut shared.outbox, rest)?;
        if queued >= shared.settings.max_backlog && connection.state == State::Open {
            connection.state = State::Paused;
            shared.stats.pauses += 1;
        }
    }
    Ok(())
}

/// Appends to a connection's outbox, and says how many bytes it has.
#[cold]
fn queue<'p, S: pool_core::PageSource + Clone>(
    outbox: &mut Option<Buffer<S>>,
    buffers: &mut Buffers<S>,
    pieces: impl Iterator<Item = &'p [u8]>,
) -> Result<usize, OutOfMemory> {
    let buffer = match outbox {
        Some(buffer) => buffer,
        None => outbox.insert(buffers.get()?),
    };
    for piece in pieces {
        buffers.append(buffer, piece)?;
    }
    Ok(buffer.filled().len())
}

/// What is left of the pieces without their first `len` bytes.
fn behind<'p>(
    pieces: impl Iterator<Item = &'p [u8]>,
    mut len: usize,
) -> impl Iterator<Item = &'p [u8]> {
    pieces.filter_map(move |piece| {
        let skipped = len.min(piece.len());
        len -= skipped;
        Some(&piece[skipped..]).filter(|rest| !rest.is_empty())
    })
}

/// Writes the pieces, `total` bytes of them, until the socket takes no more; how much it took.
fn write_now<'p, I: Iterator<Item = &'p [u8]>>(
    socket: &mut TcpStream,
    pieces: impl Fn() -> I,
    total: usize,
) -> io::Result<usize> {
    let mut sent = 0;
    while sent < total {
        match write_some(socket, behind(pieces(), sent)) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// One write of as many pieces as it takes. One alone, the most frequent case, needs no list.
fn write_some<'p>(
    socket: &mut TcpStream,
    mut pieces: impl Iterator<Item = &'p [u8]>,
) -> io::Result<usize> {
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else { return socket.write(first) };
    let mut slices = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip([first, second].into_iter().chain(pieces)) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    socket.write_vectored(&slices[..count])
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
