//! What connections and other threads have to do with one another.
#![forbid(unsafe_code)]

use super::{Broken, Connection, Link, State, Turn, Worker, give_up, send_behind};
use crate::kv::command::Shared;
use crate::kv::crew::forward::run;
use crate::kv::crew::post::{Item, Matter, Post, PutOff};
use crate::kv::crew::together::hold_still;
use crate::kv::memory::{Batch, Memory, append};
use crate::kv::patience::Moment;
use crate::kv::reply::{OutOfMemory, Sink};
use allocator_api2::alloc::Allocator;

impl<M: Memory> Worker<M> {
    /// Tells other threads that replies to a client are waited for no more.
    #[cold]
    pub(super) fn cancel(&mut self, client: u64) {
        if let Some(post) = &mut self.shared.post {
            // Who is not told does in vain what could have been left.
            let _ = post.tell_all(client, 0, Matter::Cancel);
        }
    }

    /// Holds still for another thread that has asked for it.
    pub fn hold_still(&mut self, by: usize) {
        if let Some(mut post) = self.shared.post.take() {
            hold_still(&mut post, &mut self.shared.store, by);
            self.shared.post = Some(post);
        }
    }

    /// Executes a request of another thread's connection, and puts the reply into the bundle for it.
    pub fn answer(&mut self, from: usize, item: &Item, bytes: &[u8]) {
        let Some(mut post) = self.shared.post.take() else { return };
        match post.try_put_off(from, item, bytes) {
            None => self.answer_now(&mut post, from, item, bytes),
            Some(Err(_)) => sorry(&mut post, from, item),
            Some(Ok(())) => {}
        }
        self.shared.post = Some(post);
    }

    /// Another thread says something about requests that may have been put off.
    pub fn told(&mut self, item: &Item) {
        match (&mut self.shared.post, item.matter) {
            (Some(post), Matter::Urge) => post.urged(item.ticket),
            (Some(post), Matter::Cancel) => post.cancelled(item.ticket.client),
            _ => {}
        }
    }

    /// Executes requests that were put off, as far as they need not wait any longer.
    #[cold]
    pub fn answer_put_off(&mut self) {
        let Some(mut post) = self.shared.post.take() else { return };
        while let Some(PutOff { from, item, bytes }) = post.next_put_off() {
            self.answer_now(&mut post, from, &item, &bytes);
        }
        self.shared.post = Some(post);
    }

    fn answer_now(&mut self, post: &mut Post<M::Mail>, from: usize, item: &Item, bytes: &[u8]) {
        let Matter::Ask(ask) = item.matter else { return };
        let (scratch, mut replies) = self.batch.open();
        let done = run::<M>(bytes, ask, 0, scratch, &mut replies, &self.inbox, &mut self.shared);
        let put = post.put(from, item.ticket, Matter::Reply, |out| {
            done?;
            replies.pieces().try_for_each(|piece| append(out, piece))
        });
        match put {
            Ok(()) => post.ledger.leave(item.ticket.client, replies.len()),
            Err(_) => sorry(post, from, item),
        }
        drop(replies);
        self.batch.close();
    }

    /// Another thread has replied to a request of this connection: sends what was waiting for that. Whether
    /// it waits for nothing more and is to have a turn, or is to be closed.
    pub fn answered(&mut self, connection: &mut Connection<M>, item: &Item, bytes: &[u8]) -> Turn {
        let (link, now) = (&mut connection.link, self.now);
        match deliver(link, item, bytes, now, &mut self.shared) {
            Err(broken) => {
                give_up(link, broken);
                // What it waited for is lost, so `close` does not know of it.
                self.cancel(item.ticket.client);
                Turn::Close
            }
            Ok(()) if link.waiting.is_none() && link.state != State::Open => Turn::Again,
            Ok(()) => Turn::Done,
        }
    }
}

/// Takes the reply of another thread, and sends what is whole now.
fn deliver<M: Memory>(
    link: &mut Link<M>,
    item: &Item,
    bytes: &[u8],
    now: Moment,
    shared: &mut Shared<M>,
) -> Result<(), Broken> {
    let Some(mut waiting) = link.waiting.take() else { return Ok(()) };
    waiting.account.come(bytes.len());
    if waiting.pass(item.ticket.reply) {
        send_behind(link, || std::iter::once(bytes), 0, bytes.len(), now, shared)?;
    } else {
        let drawn = shared.store.room().random(usize::MAX) as u64;
        // The last part is put together with those before it.
        shared.make_room_to_wait(2 * bytes.len() + waiting.bytes());
        waiting.fill(item.ticket.reply, item.ticket.part, bytes, drawn)?;
    }
    for ready in waiting.take() {
        send_behind(link, || std::iter::once(&ready[..]), 0, ready.len(), now, shared)?;
    }
    if !waiting.is_empty() {
        link.waiting = Some(waiting);
        settle(link, shared)?;
    }
    Ok(())
}

/// Lets other threads answer more, if not too much waits for the client.
#[cold]
#[inline(never)]
pub(super) fn settle<M: Memory>(
    link: &mut Link<M>,
    shared: &mut Shared<M>,
) -> Result<(), OutOfMemory> {
    let (Some(waiting), Some(post)) = (&mut link.waiting, &mut shared.post) else { return Ok(()) };
    let unread = link.outbox.and_then(|place| shared.outbox.unread(place));
    let behind = unread.map_or(0, <[u8]>::len);
    waiting.settle(behind).map_or(Ok(()), |reply| post.tell_all(link.id, reply, Matter::Urge))
}

/// Replies an error to a request whose reply has no room, so that nobody waits for ever.
#[cold]
fn sorry<A: Allocator + Clone>(post: &mut Post<A>, from: usize, item: &Item) {
    let sorry = |out: &mut _| append(out, b"-OOM no memory for the reply\r\n");
    let _ = post.put(from, item.ticket, Matter::Reply, sorry);
}
