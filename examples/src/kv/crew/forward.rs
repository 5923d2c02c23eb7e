//! What becomes of a connection's request where several threads have keys.
#![forbid(unsafe_code)]

use super::Share;
use super::gather::Finish;
use super::ledger::{Account, Load};
use super::post::{Ask, Item, Matter, Post, Ticket, append_request};
use super::route::{Route, route};
use super::together::{Verdict, together};
use super::waiting::Waiting;
use crate::kv::command::{Call, Flow, RepliesOf, Shared, fault_of};
use crate::kv::memory::{Figures, Memory, ScratchOf, append};
use crate::kv::reply::{OutOfMemory, Protocol, Reply, Sink};
use crate::kv::resp::{self, Args, Command, Parsed, Progress};
use crate::kv::sending::behind;
use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;

/// Replies that a connection waits for at most, before it is no longer read.
const MOST: usize = 64;

/// What a client is told whose request would be too much for the others.
const NO_ROOM: &str = "OOM no memory for requests to other threads";

/// What is waited for on behalf of a connection.
pub type WaitingOf<M> = Box<Waiting<<M as Memory>::Mail>, <M as Memory>::Mail>;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is to be executed here.
    Here,
    /// It is on its way, or done.
    Gone,
    /// It is to be looked at again when the connection waits for nothing any more.
    Later,
}

/// A connection's view of the others, while its requests are looked at.
pub struct Desk<'a, 'b, M: Memory> {
    /// What it waits for.
    pub waiting: &'a mut Option<WaitingOf<M>>,
    /// Its number.
    pub client: u64,
    /// What it speaks.
    pub protocol: Protocol,
    /// The batch.
    pub scratch: ScratchOf<'b, M>,
    /// Its replies so far.
    pub replies: &'a mut RepliesOf<'b, M>,
    /// So many bytes of them wait for nothing before them.
    pub direct: &'a mut usize,
    /// The receiving side, for its figures.
    pub inbox: &'a dyn Figures,
    /// What all requests share.
    pub shared: &'a mut Shared<M>,
    /// What becomes of the connection.
    pub flow: Flow,
}

impl<M: Memory> Desk<'_, '_, M> {
    /// Sends a request where it belongs, unless that is here.
    ///
    /// # Errors
    /// [`OutOfMemory`]: the connection cannot go on.
    #[inline(never)]
    pub fn forward(&mut self, request: Command<'_>) -> Result<Course, OutOfMemory> {
        let Some(mut post) = self.shared.post.take() else { return Ok(Course::Here) };
        let course = self.forward_by(&mut post, request);
        self.shared.post = Some(post);
        course
    }

    fn forward_by(
        &mut self,
        post: &mut Post<M::Mail>,
        request: Command<'_>,
    ) -> Result<Course, OutOfMemory> {
        if self.is_full(post) {
            return Ok(Course::Later);
        }
        let route = route(request, &post.sharding, post.share);
        match route {
            Route::Here => return Ok(Course::Here),
            Route::One(owner) if owner == post.share.me => return Ok(Course::Here),
            Route::Together => return self.together(post, request),
            _ => {}
        }
        let copies = if matches!(route, Route::All(_)) { post.share.of } else { 1 };
        let asked = copies * (request.bytes_at_most() + request.len() * size_of::<Item>());
        if !post.ledger.has_room(Load { asked, answered: 0 }) {
            return self.refuse();
        }
        match route {
            Route::One(owner) => self.send_whole(post, owner, request)?,
            Route::Keys { finish, step } => self.send_parts(post, request, finish, step)?,
            Route::All(finish) => self.ask_all(post, request, finish)?,
            Route::Here | Route::Together => {}
        }
        Ok(Course::Gone)
    }

    /// Whether it waits for so much that it must not ask for more; or for anything, while others have
    /// asked for so much.
    fn is_full(&self, post: &Post<M::Mail>) -> bool {
        let Some(waiting) = &self.waiting else { return false };
        waiting.len() >= MOST
            || waiting.bytes() >= self.shared.settings.max_backlog
            || post.ledger.is_asked_enough()
    }

    /// Tells the client that its request cannot be sent on.
    #[cold]
    fn refuse(&mut self) -> Result<Course, OutOfMemory> {
        self.shared.stats.errors += 1;
        Reply::new(self.replies, self.protocol).error(&[NO_ROOM.as_bytes()])?;
        Ok(Course::Gone)
    }

    /// Notes a reply that is to come; its number.
    fn expect(
        &mut self,
        mail: &M::Mail,
        finish: Option<Finish>,
        parts: usize,
        order: &[u32],
    ) -> Result<u64, OutOfMemory> {
        let protocol = self.protocol;
        let direct = self.replies.len().min(*self.direct);
        self.shared.make_room_to_wait(self.replies.len() - direct);
        let waiting = match self.waiting {
            Some(waiting) => waiting,
            None => {
                let terms = self.shared.terms.as_ref().ok_or(OutOfMemory)?;
                let account = Account::new(terms.clone(), self.client).ok_or(OutOfMemory)?;
                let place = Box::try_new_uninit_in(mail.clone()).map_err(|_| OutOfMemory)?;
                self.waiting.insert(Box::write(place, Waiting::new(mail.clone(), account)))
            }
        };
        park(waiting, self.replies, direct)?;
        *self.direct = direct;
        waiting.expect(finish, protocol, parts, order)
    }

    fn send_whole(
        &mut self,
        post: &mut Post<M::Mail>,
        owner: usize,
        request: Command<'_>,
    ) -> Result<(), OutOfMemory> {
        let reply = self.expect(&post.mail, None, 1, &[])?;
        let ticket = Ticket { client: self.client, reply, part: 0 };
        let ask = Matter::Ask(Ask { protocol: self.protocol, part: false });
        post.put(owner, ticket, ask, |out| append_request(out, request.len(), request.iter_from(0)))
    }

    /// Sends a part of a request to a thread, or executes it if that is this one.
    fn send_part(
        &mut self,
        post: &mut Post<M::Mail>,
        owner: usize,
        (reply, part): (u64, usize),
        words: &[&[u8]],
    ) -> Result<(), OutOfMemory> {
        let ask = Ask { protocol: self.protocol, part: true };
        let ticket = Ticket { client: self.client, reply, part };
        let write = |out: &mut _| append_request(out, words.len(), words.iter().copied());
        if owner != post.share.me {
            return post.put(owner, ticket, Matter::Ask(ask), write);
        }
        let mut bytes = Vec::new_in(post.mail.clone());
        write(&mut bytes)?;
        let before = self.replies.len();
        let client = self.client;
        let flow =
            run::<M>(&bytes, ask, client, self.scratch, self.replies, self.inbox, self.shared)?;
        if flow != Flow::Continue {
            self.flow = flow;
        }
        let mut own = Vec::new_in(post.mail.clone());
        for piece in behind(self.replies.pieces(), before) {
            append(&mut own, piece)?;
        }
        self.replies.truncate(before);
        let drawn = self.shared.store.room().random(usize::MAX) as u64;
        let Some(waiting) = self.waiting else { return Ok(()) };
        self.shared.make_room_to_wait(2 * own.len() + waiting.bytes());
        waiting.fill(reply, part, &own, drawn)
    }

    fn send_parts(
        &mut self,
        post: &mut Post<M::Mail>,
        request: Command<'_>,
        finish: Finish,
        step: usize,
    ) -> Result<(), OutOfMemory> {
        let keys = || (1..request.len()).step_by(step);
        let mut owners = std::vec::Vec::new();
        let mut order = std::vec::Vec::new();
        for at in keys() {
            let owner = post.sharding.of(request.at(at));
            let part = owners.iter().position(|&other| other == owner).unwrap_or_else(|| {
                owners.push(owner);
                owners.len() - 1
            });
            order.push(part as u32);
        }
        let reply = self.expect(&post.mail, Some(finish), owners.len(), &order)?;
        for (part, &owner) in owners.iter().enumerate() {
            let mine = keys().zip(&order).filter(|(_, of)| **of as usize == part);
            let words = mine.flat_map(|(at, _)| (at..at + step).map(|at| request.at(at)));
            let words: std::vec::Vec<_> = std::iter::once(request.at(0)).chain(words).collect();
            self.send_part(post, owner, (reply, part), &words)?;
        }
        self.shared.stats.commands += 1;
        Ok(())
    }

    fn ask_all(
        &mut self,
        post: &mut Post<M::Mail>,
        request: Command<'_>,
        finish: Finish,
    ) -> Result<(), OutOfMemory> {
        let words: std::vec::Vec<_> = request.iter_from(0).collect();
        let Share { me, of } = post.share;
        let each = if finish == Finish::Draw { 2 } else { 1 };
        let reply = self.expect(&post.mail, Some(finish), of * each, &[])?;
        // This one first: what is not added up is told of it.
        for (index, owner) in (0..of).map(|ahead| (me + ahead) % of).enumerate() {
            if finish == Finish::Draw {
                self.send_part(post, owner, (reply, 2 * index), &[b"DBSIZE"])?;
            }
            self.send_part(post, owner, (reply, each * index + each - 1), &words)?;
        }
        self.shared.stats.commands += 1;
        Ok(())
    }

    fn together(
        &mut self,
        post: &mut Post<M::Mail>,
        request: Command<'_>,
    ) -> Result<Course, OutOfMemory> {
        if self.waiting.is_some() {
            return Ok(Course::Later);
        }
        let Some(verdict) = together(request, post, &mut self.shared.store) else {
            return Ok(Course::Later);
        };
        let stats = &mut self.shared.stats;
        let mut reply = Reply::new(self.replies, self.protocol);
        match verdict {
            Verdict::Nothing => return Ok(Course::Here),
            Verdict::Ok => reply.ok()?,
            Verdict::Is(done) => reply.count(usize::from(done))?,
            other => {
                stats.errors += 1;
                reply.error(&[fault_of(other).to_string().as_bytes()])?;
            }
        }
        stats.commands += 1;
        Ok(Course::Gone)
    }
}

/// Moves the replies behind the first `direct` bytes to those that wait.
///
/// # Errors
/// [`OutOfMemory`].
pub fn park<A: Allocator + Clone>(
    waiting: &mut Waiting<A>,
    replies: &mut impl Sink,
    direct: usize,
) -> Result<(), OutOfMemory> {
    for piece in behind(replies.pieces(), direct) {
        waiting.push(piece)?;
    }
    replies.truncate(direct);
    Ok(())
}

/// Executes a request that was written by [`append_request`]; what becomes of the connection `client`.
///
/// # Errors
/// [`OutOfMemory`] if not even an error could be replied.
pub fn run<'b, M: Memory>(
    bytes: &[u8],
    ask: Ask,
    client: u64,
    scratch: ScratchOf<'b, M>,
    replies: &mut RepliesOf<'b, M>,
    inbox: &dyn Figures,
    shared: &mut Shared<M>,
) -> Result<Flow, OutOfMemory> {
    let (mut args, mut progress) = (Args::new(scratch), Progress::default());
    let most = u32::MAX as usize - 1;
    let Ok(Parsed::Frame(_)) = resp::parse(bytes, &mut progress, most, &mut args) else {
        return Err(OutOfMemory);
    };
    let request = args.command(bytes);
    let reply = Reply::new(replies, ask.protocol);
    let flow = Flow::Continue;
    let mut call = Call::<M> { reply, flow, client, scratch, shared, inbox };
    call.execute(request)?;
    let flow = call.flow;
    if ask.part {
        shared.stats.commands -= 1;
    }
    Ok(flow)
}
