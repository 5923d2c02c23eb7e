//! One connection's turn: read, parse, execute, write.
#![forbid(unsafe_code)]

mod others;

use others::settle;

use super::clients::Clients;
use super::command::{Call, Flow, Shared};
use super::crew::Share;
use super::crew::forward::{Course, Desk, WaitingOf, park};
use super::crew::ledger::Terms;
use super::crew::post::Post;
use super::memory::{Batch, Data, Figures, Inbox, Memory, Received, Scratch};
use super::outbox::Outboxes;
use super::patience::{Moment, Overdue, Patience, Times};
use super::reply::{OutOfMemory, Protocol, Reply, Sink};
use super::resp::{self, Args, Parsed, Progress};
use super::seldom::warn_seldom;
use super::sending::{behind, write_now};
use super::settings::Settings;
use super::stats::{Pools, Stats};
use super::store::Store;
use mio::net::TcpStream;
use pool_core::PageError;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

/// Reads of one turn; then others have theirs.
const READS_A_TURN: usize = 16;

/// Bytes of replies after which a batch ends: they are written, and the next begins.
const FLUSH: usize = 64 << 10;

/// Bytes of replies to what one read has brought after which others have their turn.
const SHARE: usize = 1 << 20;

/// Received bytes that are thrown away before closing, so that the client gets the last reply
/// and not a reset.
const LINGER: usize = 256 << 10;

/// What the server keeps for a connection. Idle, it holds no memory but this.
pub struct Connection<M: Memory> {
    /// What the inbox keeps of a request that is not whole.
    partial: <M::Inbox as Inbox>::Partial,
    link: Link<M>,
}

/// A connection without its received bytes, which are lent while requests are executed.
struct Link<M: Memory> {
    socket: TcpStream,
    progress: Progress,
    /// Where replies are that the socket did not take. While there are any, new ones queue behind them.
    outbox: Option<usize>,
    /// Replies that other threads are asked for.
    waiting: Option<WaitingOf<M>>,
    /// Its number, as `CLIENT ID` tells it.
    id: u64,
    times: Times,
    state: State,
    /// What its replies are written in.
    protocol: Protocol,
    /// Whether the end of its stream was announced; the announcement may have come while paused.
    ending: bool,
    /// Whether it has one more turn to come.
    queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Not read until its replies are there, and sent.
    Paused,
    /// Not read until others have had their turn.
    Resting,
    /// Closed once its replies are sent.
    Closing,
}

impl<M: Memory> Connection<M> {
    /// The socket, to be registered.
    pub const fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.link.socket
    }

    /// Whether nothing is kept of a request that is not whole.
    #[inline]
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        M::Inbox::is_empty(&self.partial)
    }

    /// Notes whether it has one more turn to come; whether it had.
    pub const fn set_queued(&mut self, queued: bool) -> bool {
        std::mem::replace(&mut self.link.queued, queued)
    }

    /// Which limit of time the connection has passed, if any.
    #[must_use]
    pub fn overdue(&self, now: Moment, patience: &Patience) -> Option<Overdue> {
        self.link.times.overdue(now, patience)
    }

    /// How long its request has been waited for, if a part of one has come.
    #[must_use]
    pub fn partial_age(&self, now: Moment) -> Option<Duration> {
        self.link.times.partial_age(now)
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

/// What a client is told whose bytes find no memory.
pub(super) const NO_MEMORY: &str = "OOM no memory for this connection's request";

/// The connection cannot go on: its stream failed, or its bytes found no memory.
struct Broken {
    is_of_memory: bool,
}

impl Broken {
    /// The client is not told: it might come in the middle of a reply.
    const fn untold(self) -> Self {
        Self { is_of_memory: false }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "connection lost");
        Self { is_of_memory: error.kind() == ErrorKind::OutOfMemory }
    }
}

impl From<OutOfMemory> for Broken {
    fn from(_: OutOfMemory) -> Self {
        warn_seldom!("a connection is closed because memory has run out");
        Self { is_of_memory: true }
    }
}

/// What an inbox lends of a connection.
type ReceivedOf<'r, M> = <<M as Memory>::Inbox as Inbox>::Received<'r>;

/// Everything that the connections of one thread share.
pub struct Worker<M: Memory> {
    inbox: M::Inbox,
    batch: M::Batch,
    /// The time of this round of events.
    now: Moment,
    /// What commands work on.
    pub shared: Shared<M>,
    /// All above came from it; it lives as long as they do, with what it runs in the background.
    memory: M,
}

impl<M: Memory> Worker<M> {
    /// A worker with its own store, of the threads that `post` reaches.
    ///
    /// # Errors
    /// The system's, if it has no memory to begin with.
    pub fn new(settings: Settings, post: Option<Post<M::Mail>>) -> Result<Self, PageError> {
        let share = post.as_ref().map_or(Share::ALL, |post| post.share);
        let limits = settings.limits().share(share.of);
        let memory = M::new(limits)?;
        let terms =
            |post: &Post<M::Mail>| Terms { budget: memory.unread(), ledger: post.ledger.clone() };
        let terms = post.as_ref().map(terms).map(Rc::new);
        let store = Store::new(memory.data(), limits.memory, settings.eviction);
        Ok(Self {
            inbox: memory.inbox()?,
            batch: memory.batch(),
            now: Moment::default(),
            shared: Shared {
                store,
                stats: Stats::default(),
                most_memory: settings.memory,
                settings,
                clients: Clients::new(memory.table()).shared_by(share),
                outbox: Outboxes::new(memory.source(), memory.table()),
                share,
                terms,
                post: post.map(Box::new),
            },
            memory,
        })
    }

    /// An empty table of connections.
    #[must_use]
    pub fn table(&self) -> M::Table<Connection<M>> {
        self.memory.table()
    }

    /// Begins a round of events: `since` the server started.
    pub fn set_now(&mut self, since: Duration) {
        self.now = Moment::of(since);
        self.shared.outbox.set_now(self.now);
        self.inbox.set_now(since);
    }

    /// The figures of the pools, as `INFO memory` shows them, between two turns.
    pub fn observe(&mut self, visit: &mut dyn FnMut(&str, u64)) {
        self.shared.store.room().alloc().observe(visit);
        self.inbox.observe(visit);
        let (scratch, _) = self.batch.open();
        scratch.observe(visit);
        self.batch.close();
        self.shared.observe(visit);
    }

    /// The counters, with what the pools did.
    pub fn last_stats(&mut self) -> Stats {
        let mut pools = Pools::default();
        self.observe(&mut |name, value| pools.note(name, value));
        pools.data_peak = self.shared.store.budget().peak as u64;
        pools.moved = self.shared.store.moved();
        Stats { pools, ..self.shared.stats }
    }

    /// The time of this round.
    #[must_use]
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// A connection that nothing was read from yet.
    pub fn open(&mut self, socket: TcpStream, id: u64) -> Connection<M> {
        // The low half is enough: `Clients` knows the rest.
        let partial = self.inbox.open(id as u32);
        let (progress, protocol) = Default::default();
        let (state, times) = (State::Open, Times::new(self.now));
        let (outbox, waiting) = (None, None);
        let link = Link {
            socket,
            progress,
            outbox,
            waiting,
            id,
            times,
            state,
            protocol,
            ending: false,
            queued: false,
        };
        Connection { partial, link }
    }

    /// The token of a connection that has lost a partial to others, and is to be closed.
    pub fn next_lost(&mut self) -> Option<usize> {
        loop {
            let number = self.inbox.next_lost()?;
            if let Some(token) = self.shared.clients.token_by_low_half(number) {
                return Some(token);
            }
        }
    }

    /// Serves a connection whose socket has an event. `ending`: the end of its stream was
    /// announced, so from now on every turn reads until there is nothing more.
    pub fn turn(&mut self, connection: &mut Connection<M>, ending: bool) -> Turn {
        connection.link.ending |= ending;
        let turn = self.send_and_receive(connection).unwrap_or(Turn::Close);
        if connection.link.state == State::Closing {
            self.inbox.discard(&mut connection.partial);
        }
        turn
    }

    /// Tells a connection why it will be closed, if there is nothing before that to be sent.
    pub fn tell(&self, connection: &mut Connection<M>, why: &str) {
        if connection.link.outbox.is_none() {
            let _ = write!(connection.link.socket, "-{why}\r\n");
        }
    }

    /// Frees what a connection holds. Its socket closes when it is dropped.
    pub fn close(&mut self, connection: &mut Connection<M>) {
        self.inbox.discard(&mut connection.partial);
        if let Some(place) = connection.link.outbox.take() {
            self.shared.outbox.close(place);
        }
        if connection.link.waiting.take().is_some() {
            self.cancel(connection.link.id);
        }
        self.shared.clients.leave(connection.link.id);
        discard_input(&mut connection.link.socket);
    }

    fn send_and_receive(&mut self, connection: &mut Connection<M>) -> Result<Turn, Broken> {
        let before = connection.link.state;
        self.send_outbox(&mut connection.link)?;
        if connection.link.waiting.is_some() {
            settle(&mut connection.link, &mut self.shared)?;
        }
        let link = &connection.link;
        let is_settled = link.outbox.is_none() && link.waiting.is_none();
        if before == State::Resting {
            // Its requests came long ago, and it was the server who let them wait.
            connection.link.times.heard(self.now);
        }
        if before == State::Resting || before == State::Paused && is_settled {
            connection.link.state = State::Open;
            self.resume(connection)?;
        }
        let turn = self.receive(connection)?;
        let link = &connection.link;
        Ok(match link.state {
            State::Open => turn,
            State::Resting => Turn::Again,
            _ if link.outbox.is_some() || link.waiting.is_some() => turn,
            State::Closing => Turn::Close,
            // What it wants was not to be had at once.
            State::Paused => Turn::Again,
        })
    }

    /// Serves what was pending when the connection was paused.
    fn resume(&mut self, connection: &mut Connection<M>) -> Result<(), Broken> {
        let Self { inbox, batch, now, shared, .. } = self;
        let received = inbox.resume(&mut connection.partial)?;
        serve(&mut connection.link, received, batch, *now, shared)
    }

    /// Reads and serves until the socket has no more, or the turn is over.
    fn receive(&mut self, connection: &mut Connection<M>) -> Result<Turn, Broken> {
        let Self { inbox, batch, now, shared, .. } = self;
        let Connection { partial, link } = connection;
        for _ in 0..READS_A_TURN {
            if link.state != State::Open {
                return Ok(Turn::Done);
            }
            let received = match inbox.read(partial, link.progress.needed(), &mut link.socket) {
                Ok(Some(received)) => received,
                Ok(None) => {
                    link.state = State::Closing;
                    return Ok(Turn::Done);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Done),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(give_up(link, error.into())),
            };
            let is_short = received.is_short();
            shared.stats.received += received.fresh() as u64;
            link.times.heard(*now);
            serve(link, received, batch, *now, shared)?;
            if is_short && SHORT_READ_IS_LAST && !link.ending {
                return Ok(Turn::Done);
            }
        }
        Ok(Turn::Again)
    }

    /// Sends what an earlier turn could not.
    fn send_outbox(&mut self, link: &mut Link<M>) -> Result<(), Broken> {
        let Some(place) = link.outbox else {
            return Ok(());
        };
        let outbox = &mut self.shared.outbox;
        // Given up a moment ago, and about to be closed.
        let unread = outbox.unread(place).ok_or(Broken { is_of_memory: false })?;
        let left = unread.len();
        let sent = write_now(&mut link.socket, || std::iter::once(unread), left)?;
        self.shared.stats.sent += sent as u64;
        if sent == left {
            link.times.took_all(self.now);
            link.outbox = None;
            outbox.close(place);
        } else if sent > 0 {
            let since = link.times.took(sent, self.now);
            outbox.consume(place, sent, since);
        }
        Ok(())
    }
}

/// The bytes of a connection found no memory, or its stream has failed. If it was the former, the
/// client is told as far as that is possible.
#[cold]
fn give_up<M: Memory>(link: &mut Link<M>, broken: Broken) -> Broken {
    if broken.is_of_memory && link.outbox.is_none() {
        let _ = write!(link.socket, "-{NO_MEMORY}\r\n");
    }
    broken
}

/// Executes the whole requests that are pending, sends their replies, and keeps the rest.
fn serve<M: Memory>(
    link: &mut Link<M>,
    mut received: ReceivedOf<'_, M>,
    batch: &mut M::Batch,
    now: Moment,
    shared: &mut Shared<M>,
) -> Result<(), Broken> {
    let mut written = 0_usize;
    while link.state == State::Open {
        let more = match shared.post {
            None => serve_batch::<M, false>(link, &mut received, batch, now, shared),
            Some(_) => serve_batch::<M, true>(link, &mut received, batch, now, shared),
        };
        batch.close();
        let more = more?;
        if more < FLUSH {
            break;
        }
        written = written.saturating_add(more);
        if written >= SHARE && link.state == State::Open {
            link.state = State::Resting;
        }
    }
    let kept = received.keep(link.progress.needed());
    kept.map_err(|error| give_up(link, error.into()))
}

/// Executes whole requests until there are no more, or their replies are enough for a write; how many bytes
/// these are, [`SHARE`] if others are to have their turn in any case. `SEVERAL`: there are other threads, to
/// which some requests go; it is code of its own, so that one thread alone does not pay for that.
fn serve_batch<M: Memory, const SEVERAL: bool>(
    link: &mut Link<M>,
    received: &mut ReceivedOf<'_, M>,
    batch: &mut M::Batch,
    now: Moment,
    shared: &mut Shared<M>,
) -> Result<usize, Broken> {
    let (scratch, mut replies) = batch.open();
    let mut args = Args::new(scratch);
    let max_frame = shared.settings.max_frame;
    // Whole requests are consumed together: `done` bytes of `all`.
    let (all, mut done, mut begun) = (received.pending(), 0, false);
    // Replies behind so many bytes wait for those of other threads.
    let mut direct = if SEVERAL && link.waiting.is_some() { 0 } else { usize::MAX };
    let reply = Reply::new(&mut replies, link.protocol);
    let (flow, client, inbox) = (Flow::Continue, link.id, &*received);
    let mut call = Call::<M> { reply, flow, client, scratch, shared, inbox };
    while call.flow == Flow::Continue && call.reply.mark() < FLUSH {
        let Some(pending @ [_, ..]) = all.get(done..) else { break };
        match resp::parse(pending, &mut link.progress, max_frame, &mut args) {
            Ok(Parsed::Frame(len)) => {
                let request = args.command(pending);
                if SEVERAL {
                    let mut desk = Desk {
                        waiting: &mut link.waiting,
                        client,
                        protocol: call.reply.protocol,
                        scratch,
                        replies: call.reply.sink(),
                        direct: &mut direct,
                        inbox,
                        shared: call.shared,
                        flow,
                    };
                    let course = desk.forward(request)?;
                    call.flow = desk.flow;
                    match course {
                        Course::Here => {}
                        Course::Gone => {
                            done += len;
                            continue;
                        }
                        Course::Later => {
                            link.state = State::Paused;
                            break;
                        }
                    }
                }
                if !request.is_empty() {
                    if SEVERAL {
                        call.execute(request)?;
                    } else {
                        call.execute_here(request)?;
                    }
                }
                done += len;
            }
            Ok(Parsed::Partial) => {
                begun = true;
                break;
            }
            Err(error) => {
                call.shared.stats.errors += 1;
                call.reply.error(&[&error.text()])?;
                call.flow = Flow::Close;
            }
        }
    }
    link.protocol = call.reply.protocol;
    if call.flow == Flow::Close {
        link.state = State::Closing;
    }
    // Before they are moved to those that wait: more requests may be pending.
    let written = if call.flow == Flow::Rest { SHARE } else { replies.len() };
    if let (true, Some(waiting)) = (SEVERAL, &mut link.waiting) {
        shared.make_room_to_wait(replies.len().saturating_sub(direct));
        park(waiting, &mut replies, direct)?;
    }
    if done > 0 {
        link.times.whole();
        received.consume(done);
    }
    if begun {
        link.times.begun(now);
    }
    send(link, &replies, now, shared)?;
    Ok(written)
}

/// Writes the batch's replies from where they are, and queues only what the socket does not take. A
/// connection whose queue has reached the limit is paused.
#[inline(always)]
fn send<M: Memory>(
    link: &mut Link<M>,
    replies: &impl Sink,
    now: Moment,
    shared: &mut Shared<M>,
) -> Result<(), Broken> {
    let total = replies.len();
    let mut sent = 0;
    if let (None, Some(piece @ [_, ..])) = (&link.outbox, replies.one_piece()) {
        sent = link.socket.write(piece).unwrap_or(0);
        shared.stats.sent += sent as u64;
    }
    if sent < total {
        send_behind(link, || replies.pieces(), sent, total, now, shared)
    } else {
        Ok(())
    }
}

/// [`send`] of what is behind the first `sent` bytes.
#[inline(never)]
fn send_behind<'p, M: Memory, I: Iterator<Item = &'p [u8]>>(
    link: &mut Link<M>,
    pieces: impl Fn() -> I,
    mut sent: usize,
    total: usize,
    now: Moment,
    shared: &mut Shared<M>,
) -> Result<(), Broken> {
    if link.outbox.is_none() {
        let more = write_now(&mut link.socket, || behind(pieces(), sent), total - sent)?;
        shared.stats.sent += more as u64;
        sent += more;
    }
    if sent < total {
        link.times.left(now);
        let left = total - sent;
        let queued = loop {
            let rest = behind(pieces(), sent);
            match shared.outbox.append(&mut link.outbox, link.id, rest, left) {
                Ok(queued) => break queued,
                Err(_) if shared.evict_outbox(link.outbox, left) => {}
                Err(error) => return Err(Broken::from(error).untold()),
            }
        };
        if queued >= shared.settings.max_backlog && link.state == State::Open {
            link.state = State::Paused;
            shared.stats.pauses += 1;
        }
    }
    Ok(())
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
