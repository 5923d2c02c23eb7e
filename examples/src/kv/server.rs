//! The event loop: a thread, a `mio` poll, edges. A server has one, or several that ask one another.
#![forbid(unsafe_code)]

use super::connection::{Connection, NO_MEMORY, Turn, Worker};
use super::crew::ledger::Ledger;
use super::crew::post::{Bundle, Item, Letter, Matter, Post, Way};
use super::crew::{Sharding, Share};
use super::memory::{Memory, Table};
use super::metrics::{Board, Publisher, gather};
use super::patience::Overdue;
use super::seldom::warn_seldom;
use super::settings::Settings;
use super::stats::Stats;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};
use std::{mem, thread};

/// Tokens of connections are indices, or keys of a table that never has so many; these two are out of
/// their way.
const LISTENER: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// Connections that may wait to be accepted: more are dropped, and try again a second later.
const BACKLOG: i32 = 1024;

/// Events taken at once.
const EVENTS: usize = 1024;

/// How long the listener rests when the system has no descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How soon requests of other threads that were put off are looked at again.
const ANSWER_AGAIN: Duration = Duration::from_millis(1);

/// How often keys that have ended are looked for.
const EXPIRE_AGAIN: Duration = Duration::from_millis(100);

/// Entries looked at each time; while a quarter of them have ended it goes on, at most so often.
const EXPIRE_AT_ONCE: usize = 200;
const EXPIRE_ROUNDS: usize = 50;

/// Entries whose memory is tidied up in one round, without and with something else to do.
const TIDY_IDLE: usize = 1000;
const TIDY_BUSY: usize = 50;

/// A server that is bound and not yet running: the event loop of its first thread, and what the others
/// begin with.
pub struct Server<M: Memory> {
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    stopper: Stopper,
    others: Vec<Seat<M>>,
    worker: Worker<M>,
    connections: M::Table<Connection<M>>,
    max_connections: usize,
    /// Connections of all threads.
    present: Arc<AtomicUsize>,
    /// The most connections at any look since their table was last trimmed.
    most: usize,
    /// Tokens of those whose connection had not read everything when its turn ended: they get one more in
    /// the next round, after those that have events.
    again: Vec<usize>,
    /// Whether the listener may have more that could not be accepted.
    accept_later: bool,
    /// When keys were last looked at for their end.
    expired: Instant,
    /// When it was last asked whether memory is to be tidied up.
    looked_at_spans: Instant,
    /// How often connections are looked at for their limits of time, if there are any. Kept, because
    /// every round asks.
    look_again: Option<Duration>,
    /// When they were last looked at, since the start.
    looked: Duration,
    /// Those that were found; empty in between.
    overdue: Vec<(usize, Overdue)>,
    /// Where its figures are shown, if anywhere.
    publisher: Option<Publisher>,
}

/// What an event loop begins with.
struct Seat<M: Memory> {
    settings: Settings,
    poll: Poll,
    listener: TcpListener,
    stopper: Stopper,
    present: Arc<AtomicUsize>,
    post: Option<Post<M::Mail>>,
    /// Where its figures are shown, if anywhere.
    publisher: Option<Publisher>,
}

/// Ends a running server from another thread or a signal.
#[derive(Clone, Debug)]
pub struct Stopper {
    stop: Arc<AtomicBool>,
    wakers: Arc<[Arc<Waker>]>,
}

impl Stopper {
    /// Makes [`Server::run`] return.
    pub fn stop(&self) {
        // Pairs with the load in `run`; the wake-ups are what makes the loops look.
        self.stop.store(true, Ordering::Release);
        for waker in &*self.wakers {
            let _ = waker.wake();
        }
    }
}

/// Stops the other threads when one ends, however it ends.
struct StopAll(Stopper);

impl Drop for StopAll {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<M: Memory> Server<M> {
    /// Binds 127.0.0.1 at the port of `settings`.
    ///
    /// # Errors
    /// Those of the system; `AddrInUse` if the port is taken.
    pub fn bind(mut settings: Settings) -> io::Result<Self> {
        let threads = usize::from(settings.threads.max(1));
        let listeners = listen(settings.port, threads)?;
        if let Some(first) = listeners.first() {
            settings.port = first.local_addr()?.port();
        }
        let polls = (0..threads).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let waker = |poll: &Poll| Waker::new(poll.registry(), WAKER).map(Arc::new);
        let wakers = polls.iter().map(waker).collect::<io::Result<Arc<[_]>>>()?;
        let stopper = Stopper { stop: Arc::default(), wakers };
        let present = Arc::<AtomicUsize>::default();
        let mut posts = posts::<M>(&settings, &stopper).into_iter();
        let seats = polls.into_iter().zip(listeners).map(|(poll, listener)| Seat {
            settings: settings.clone(),
            poll,
            listener,
            stopper: stopper.clone(),
            present: present.clone(),
            post: posts.next(),
            publisher: None,
        });
        let mut seats: Vec<Seat<M>> = seats.collect();
        let mut server = Self::sit(seats.remove(0))?;
        server.others = seats;
        Ok(server)
    }

    /// An event loop.
    fn sit(seat: Seat<M>) -> io::Result<Self> {
        let Seat { settings, poll, mut listener, stopper, present, post, publisher } = seat;
        let address = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let max_connections = settings.max_connections as usize;
        let look_again = settings.patience().interval();
        let worker = Worker::new(settings, post).map_err(io::Error::other)?;
        Ok(Self {
            poll,
            listener,
            address,
            stopper,
            others: Vec::new(),
            max_connections,
            present,
            most: 0,
            connections: worker.table(),
            worker,
            again: Vec::new(),
            accept_later: false,
            expired: Instant::now(),
            looked_at_spans: Instant::now(),
            look_again,
            looked: Duration::ZERO,
            overdue: Vec::new(),
            publisher,
        })
    }

    /// Has the figures of all threads shown there, about once a second.
    pub fn publish_to(&mut self, board: &Board) {
        self.publisher = Some(board.publisher());
        for seat in &mut self.others {
            seat.publisher = Some(board.publisher());
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that ends [`run`](Self::run).
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until stopped; then says what was done.
    ///
    /// # Errors
    /// Those of `poll`, and of the system if it has no memory or no thread to begin with: nothing a client
    /// does ends the server.
    pub fn run(mut self) -> io::Result<Stats> {
        let (others, stopper) = (mem::take(&mut self.others), self.stopper.clone());
        if others.is_empty() {
            return self.serve();
        }
        thread::scope(|scope| {
            let begin = |seat: Seat<M>| {
                let stop_all = StopAll(seat.stopper.clone());
                thread::Builder::new().name("kv".into()).spawn_scoped(scope, move || {
                    let _stop_all = stop_all;
                    Self::sit(seat)?.serve()
                })
            };
            let stop_all = StopAll(stopper);
            let threads = others.into_iter().map(begin).collect::<io::Result<Vec<_>>>()?;
            let mut stats = self.serve();
            drop(stop_all);
            for thread in threads {
                let other =
                    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread failed")));
                stats = stats.and_then(|stats| Ok(stats.and(&other?)));
            }
            stats
        })
    }

    /// The event loop.
    fn serve(mut self) -> io::Result<Stats> {
        let mut events = Events::with_capacity(EVENTS);
        // Pairs with the store in `stop`.
        while !self.stopper.stop.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = Instant::now();
            let since = now - self.worker.shared.stats.started;
            self.worker.set_now(since);
            let again = std::mem::take(&mut self.again);
            let accept = self.dispatch(&events);
            for token in again {
                if let Some(connection) = self.connections.get_mut(token) {
                    connection.set_queued(false);
                }
                self.turn(token, false);
            }
            if self.worker.shared.post.is_some() {
                self.read_mail();
            }
            self.close_doomed();
            // Last, so that no token gets a new owner while events of the old one are about.
            if accept || self.accept_later {
                self.accept_all();
            }
            self.expire(now);
            self.tidy(now, events.is_empty() && self.again.is_empty());
            self.close_overdue(since);
            if self.publisher.as_ref().is_some_and(|publisher| publisher.is_due(since)) {
                self.publish(since);
            }
            if let Some(post) = &mut self.worker.shared.post {
                post.flush();
            }
        }
        Ok(self.worker.last_stats())
    }

    /// How long to wait for events.
    fn patience(&self) -> Option<Duration> {
        let post = self.worker.shared.post.as_ref();
        if !self.again.is_empty() || post.is_some_and(|post| !post.deferred.is_empty()) {
            return Some(Duration::ZERO);
        }
        let accept = self.accept_later.then_some(ACCEPT_AGAIN);
        let store = &self.worker.shared.store;
        if store.is_tidying() {
            return Some(Duration::ZERO);
        }
        if post.is_some_and(|post| post.has_put_off()) {
            return Some(ANSWER_AGAIN);
        }
        let expire = (store.mortal() > 0 || store.is_untidy()).then_some(EXPIRE_AGAIN);
        let look = self.look_again.filter(|_| self.connections.count() > 0 || self.most > 0);
        let publish = self.publisher.as_ref().map(|publisher| publisher.wait(self.since()));
        accept.into_iter().chain(expire).chain(look).chain(publish).min()
    }

    /// How long ago it started.
    fn since(&self) -> Duration {
        self.worker.shared.stats.started.elapsed()
    }

    /// Shows its figures.
    #[cold]
    fn publish(&mut self, since: Duration) {
        let Self { worker, connections, publisher, .. } = self;
        if let Some(publisher) = publisher {
            publisher.publish(since, |snapshot| gather(worker, connections, snapshot));
        }
    }

    /// Closes connections that commands have given up.
    fn close_doomed(&mut self) {
        while let Some(token) = self.worker.shared.clients.next_doomed() {
            self.close(token);
        }
    }

    /// Tells a connection why, and closes it.
    fn end(&mut self, token: usize, why: &str) {
        if let Some(connection) = self.connections.get_mut(token) {
            self.worker.tell(connection, why);
            self.close(token);
        }
    }

    /// Closes connections that have passed a limit of time; now and then, for it looks at all.
    fn close_overdue(&mut self, since: Duration) {
        if self.look_again.is_some_and(|interval| since >= self.looked + interval) {
            self.looked = since;
            self.close_overdue_now();
        }
    }

    #[cold]
    fn close_overdue_now(&mut self) {
        let patience = self.worker.shared.settings.patience();
        let (now, mut overdue) = (self.worker.now(), std::mem::take(&mut self.overdue));
        self.connections.for_each(|token, connection| {
            overdue.extend(connection.overdue(now, &patience).map(|why| (token, why)));
        });
        for (token, why) in overdue.drain(..) {
            self.worker.shared.stats.overdue += 1;
            self.end(token, &why.to_string());
        }
        self.overdue = overdue;
        self.trim();
    }

    /// After a rush, gives back the pages of connections that are gone.
    fn trim(&mut self) {
        let count = self.connections.count();
        if self.most > 0 && count <= self.most / 2 {
            self.connections.trim();
            self.worker.shared.clients.trim();
            self.worker.shared.outbox.trim();
            self.most = count;
        }
        self.most = self.most.max(count);
    }

    /// Removes some keys that have ended, now and then.
    fn expire(&mut self, now: Instant) {
        if self.worker.shared.store.mortal() == 0 || now - self.expired < EXPIRE_AGAIN {
            return;
        }
        self.expired = now;
        for _ in 0..EXPIRE_ROUNDS {
            if !self.worker.shared.store.expire_some(EXPIRE_AT_ONCE) {
                break;
            }
        }
    }

    /// Moves blocks of data together, if they are far apart: more at once while nobody asks for anything.
    fn tidy(&mut self, now: Instant, idle: bool) {
        let store = &mut self.worker.shared.store;
        if store.is_tidying() {
            store.tidy(if idle { TIDY_IDLE } else { TIDY_BUSY });
        } else if store.is_untidy() && now - self.looked_at_spans >= EXPIRE_AGAIN {
            self.looked_at_spans = now;
            store.tidy(0);
        }
    }

    /// Gives a turn to each connection that has an event; whether the listener has one.
    fn dispatch(&mut self, events: &Events) -> bool {
        let mut accept = false;
        for event in events {
            match event.token() {
                LISTENER => accept = true,
                WAKER => {}
                Token(token) => self.turn(token, is_ending(event)),
            }
        }
        accept
    }

    /// Does what other threads ask for, and hands out what they have replied.
    fn read_mail(&mut self) {
        while let Some(letter) = self.worker.shared.post.as_mut().and_then(|post| post.receive()) {
            match letter {
                Letter::Bundle(bundle) => self.read_bundle(&bundle),
                Letter::Hold(by) => self.worker.hold_still(by),
                // Of something that has ended.
                Letter::Held | Letter::Step(_) | Letter::Stepped(_) | Letter::Release => {}
            }
        }
        if self.worker.shared.post.as_ref().is_some_and(|post| post.has_put_off()) {
            self.worker.answer_put_off();
        }
    }

    fn read_bundle(&mut self, bundle: &Bundle<M::Mail>) {
        let mut rest = &bundle.bytes[..];
        for item in &bundle.items {
            let (bytes, behind) = rest.split_at(item.len);
            rest = behind;
            match item.matter {
                Matter::Ask(_) => self.worker.answer(bundle.from, item, bytes),
                Matter::Reply => self.answered(item, bytes),
                Matter::Urge | Matter::Cancel => self.worker.told(item),
            }
        }
        if let Some(post) = &self.worker.shared.post {
            post.ledger.receive(bundle.load);
        }
    }

    /// Another thread has replied. Who has left meanwhile is not there any more.
    fn answered(&mut self, item: &Item, bytes: &[u8]) {
        let client = item.ticket.client;
        let token = self.worker.shared.clients.token(client);
        let Some((token, connection)) =
            token.and_then(|token| Some((token, self.connections.get_mut(token)?)))
        else {
            if let Some(post) = &self.worker.shared.post {
                post.ledger.forget(client, item.len);
            }
            return;
        };
        match self.worker.answered(connection, item, bytes) {
            Turn::Done => {}
            Turn::Again => self.turn(token, false),
            Turn::Close => self.close(token),
        }
    }

    fn turn(&mut self, token: usize, ending: bool) {
        let Some(connection) = self.connections.get_mut(token) else {
            return;
        };
        match self.worker.turn(connection, ending) {
            // What it does not keep has cost nobody else theirs.
            Turn::Done if connection.is_between_requests() => return,
            Turn::Done => {}
            // Once, though it had a turn for an event as well.
            Turn::Again if connection.set_queued(true) => {}
            Turn::Again => self.again.push(token),
            Turn::Close => self.close(token),
        }
        // At once, for the inbox forgets their names when it needs the room.
        while let Some(lost) = self.worker.next_lost() {
            self.end(lost, NO_MEMORY);
        }
    }

    fn close(&mut self, token: usize) {
        if let Some(mut connection) = self.connections.remove(token) {
            let _ = self.poll.registry().deregister(connection.socket_mut());
            self.worker.close(&mut connection);
            self.worker.shared.stats.clients -= 1;
            self.present.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn accept_all(&mut self) {
        self.accept_later = false;
        loop {
            match self.listener.accept() {
                Ok((socket, peer)) => self.admit(socket, peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    warn_seldom!(%error, "no connection can be accepted; trying again soon");
                    self.accept_later = true;
                    return;
                }
            }
        }
    }

    /// Makes an accepted socket a connection, or tells it that there are too many.
    fn admit(&mut self, mut socket: TcpStream, peer: SocketAddr) {
        // Taken before it is used: other threads admit at the same time.
        if self.present.fetch_add(1, Ordering::Relaxed) >= self.max_connections {
            self.present.fetch_sub(1, Ordering::Relaxed);
            self.worker.shared.stats.rejected += 1;
            let _ = socket.write(b"-ERR max number of clients reached\r\n");
            return;
        }
        let _ = socket.set_nodelay(true);
        let Self { poll, worker, connections, present, .. } = self;
        let admitted = connections.insert_with(|token| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut socket, Token(token), interest)?;
            let id = worker.shared.clients.enter(token, peer)?;
            Ok::<_, io::Error>(worker.open(socket, id))
        });
        match admitted {
            Ok(_) => {
                worker.shared.stats.accepted += 1;
                worker.shared.stats.clients += 1;
            }
            Err(error) => {
                present.fetch_sub(1, Ordering::Relaxed);
                worker.shared.stats.rejected += 1;
                warn_seldom!(%error, "a connection could not be admitted");
            }
        }
    }
}

/// Sockets that listen at one port, one for each thread; the system shares out who comes.
fn listen(port: u16, threads: usize) -> io::Result<Vec<TcpListener>> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let first = TcpListener::bind(address(port))?;
    if threads == 1 {
        SockRef::from(&first).listen(BACKLOG)?;
        return Ok(vec![first]);
    }
    drop(first);
    // Sockets that share a port would share it with another server, too: hence the first, which does not.
    // Port 0 is never one that somebody has, shared or not, and is kept from the first socket on.
    let first = listen_together(address(port))?;
    let port = first.local_addr()?.port();
    let others = (1..threads).map(|_| listen_together(address(port)));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn listen_together(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A way from each thread to each; none if there is one thread.
fn posts<M: Memory>(settings: &Settings, stopper: &Stopper) -> Vec<Post<M::Mail>> {
    let threads = usize::from(settings.threads.max(1));
    if threads == 1 {
        return Vec::new();
    }
    let random = || RandomState::new().build_hasher().finish();
    let (sharding, mail) = (Sharding::new([random(), random()], threads), M::mail());
    let holding = Arc::<AtomicBool>::default();
    let ledger = Arc::new(Ledger::new(settings.limits(), settings.max_backlog));
    let (senders, mailboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel()).unzip();
    let way = |(sender, waker): (Sender<_>, &Arc<Waker>)| Way { sender, waker: waker.clone() };
    let ways: Vec<_> = senders.into_iter().zip(&*stopper.wakers).map(way).collect();
    let post = |(me, mailbox)| Post {
        share: Share { me, of: threads },
        sharding: sharding.clone(),
        mail: mail.clone(),
        ways: ways.clone(),
        mailbox,
        deferred: VecDeque::new(),
        outgoing: (0..threads).map(|_| None).collect(),
        ledger: ledger.clone(),
        put_off: HashMap::new(),
        turns: VecDeque::new(),
        holding: holding.clone(),
        stop: stopper.stop.clone(),
    };
    mailboxes.into_iter().enumerate().map(post).collect()
}

/// Whether the peer has ended its side, or the stream has failed: read until that shows.
fn is_ending(event: &Event) -> bool {
    event.is_read_closed() || event.is_error()
}

/// Errors of `accept` that are about one client that has gone already.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
