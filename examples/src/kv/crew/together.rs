//! Commands that must see keys of two threads at once: `RENAME`, `RENAMENX`, `COPY`, `MSETNX`.
//!
//! The thread that has read the command asks the owners to hold still, does it step by step, and releases
//! them; one command at a time does that. So it is one step for everybody. It is also slow: a thread that
//! holds still serves nobody.
#![forbid(unsafe_code)]

use super::ledger::Load;
use super::post::{Letter, Post};
use crate::kv::command::{copy_replaces, is};
use crate::kv::memory::Data;
use crate::kv::reply::OutOfMemory;
use crate::kv::resp::Command;
use crate::kv::store::{Form, Parcel, Store};
use allocator_api2::alloc::Allocator;
use std::sync::atomic::Ordering;

/// Something to be done by the owner of a key.
#[derive(Debug)]
pub enum Step {
    /// Is it there?
    Has(Vec<u8>),
    /// Are none of them there, and is there room for all of these pairs?
    Prepare(Vec<Pair>),
    /// Set the pairs of the step before.
    SetAll,
    /// A copy of what it holds, if that takes no more than so many bytes.
    Copy(Vec<u8>, usize),
    /// Remove it.
    Remove(Vec<u8>),
    /// Set it to what another held.
    Give(Vec<u8>, Parcel),
}

/// A key, and the string that it is to hold.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What came of a step.
#[derive(Debug)]
pub enum Outcome {
    /// Whether it was so, or could be done.
    Is(bool),
    /// What the key holds, if it is there.
    Copied(Option<Parcel>),
    /// There is no room.
    NoRoom,
}

/// Does a step. `prepared` are the pairs of [`Step::Prepare`], for [`Step::SetAll`].
pub fn act<D: Data>(store: &mut Store<D>, prepared: &mut Vec<Pair>, step: Step) -> Outcome {
    match step {
        Step::Has(key) => Outcome::Is(store.end(&key).is_some()),
        Step::Prepare(pairs) => {
            let words = pairs.iter().flat_map(|(key, value)| [key.len(), value.len()]);
            let bytes = Store::<D>::need(words);
            if pairs.iter().any(|(key, _)| store.end(key).is_some()) {
                return Outcome::Is(false);
            }
            if !store.ensure(bytes) {
                return Outcome::NoRoom;
            }
            *prepared = pairs;
            Outcome::Is(true)
        }
        Step::SetAll => {
            let pairs = std::mem::take(prepared);
            let set = |(key, value): &Pair| store.put(key, value, Form::Any, Some(None)).is_ok();
            Outcome::Is(pairs.iter().all(set))
        }
        Step::Copy(key, most) => match store.export(&key, most) {
            Ok(copied) => Outcome::Copied(copied),
            Err(OutOfMemory) => Outcome::NoRoom,
        },
        Step::Remove(key) => Outcome::Is(store.remove(&key)),
        Step::Give(key, parcel) => Outcome::Is(store.import(&key, &parcel).is_ok()),
    }
}

/// What is to be replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `+OK`.
    Ok,
    /// `:1` or `:0`.
    Is(bool),
    /// There is no such key.
    NoSuchKey,
    /// There is no room.
    Budget,
    /// There is no room for the value between the threads.
    TooLong,
    /// The server ends, or an option is wrong: the handler here has the word.
    Nothing,
}

/// Threads that hold still, and the one that tells them what to do.
struct Held<'a, A: Allocator + Clone, D: Data> {
    post: &'a mut Post<A>,
    store: &'a mut Store<D>,
    /// Of this thread.
    prepared: Vec<Pair>,
    others: Vec<usize>,
}

impl<'a, A: Allocator + Clone, D: Data> Held<'a, A, D> {
    /// Has the owners of these keys hold still; `None` if the server ends.
    fn new(post: &'a mut Post<A>, store: &'a mut Store<D>, keys: &[&[u8]]) -> Option<Self> {
        let mut others: Vec<_> = keys.iter().map(|key| post.sharding.of(key)).collect();
        others.sort_unstable();
        others.dedup();
        others.retain(|&other| other != post.share.me);
        for &other in &others {
            post.send(other, Letter::Hold(post.share.me));
        }
        for _ in &others {
            post.wait(|letter| match letter {
                Letter::Held => Ok(()),
                other => Err(other),
            })?;
        }
        Some(Self { post, store, prepared: Vec::new(), others })
    }

    /// Has the owner of its key do a step; `None` if the server ends.
    fn step(&mut self, key: &[u8], step: impl FnOnce(Vec<u8>) -> Step) -> Option<Outcome> {
        let (owner, step) = (self.post.sharding.of(key), step(key.to_vec()));
        if owner == self.post.share.me {
            return Some(act(self.store, &mut self.prepared, step));
        }
        self.post.send(owner, Letter::Step(step));
        self.post.wait(|letter| match letter {
            Letter::Stepped(outcome) => Ok(outcome),
            other => Err(other),
        })
    }

    /// The same, of a step that says whether.
    fn is(&mut self, key: &[u8], step: impl FnOnce(Vec<u8>) -> Step) -> Option<bool> {
        Some(matches!(self.step(key, step)?, Outcome::Is(true)))
    }

    /// Copies what a key holds to another; `done` if that succeeds, `gone` if it holds nothing any more. The copy is charged as a reply that is
    /// under way, and there is one at a time.
    fn transfer(
        &mut self,
        (from, to): (&[u8], &[u8]),
        done: Verdict,
        gone: Verdict,
    ) -> Option<Verdict> {
        let most = self.post.ledger.room_for_replies();
        let parcel = match self.step(from, |key| Step::Copy(key, most))? {
            Outcome::Copied(Some(parcel)) => parcel,
            Outcome::Copied(None) => return Some(gone),
            Outcome::NoRoom => return Some(Verdict::TooLong),
            _ => return Some(Verdict::Budget),
        };
        let load = Load { asked: 0, answered: parcel.bytes() };
        self.post.ledger.send(load);
        let given = self.is(to, |key| Step::Give(key, parcel));
        self.post.ledger.receive(load);
        Some(if given? { done } else { Verdict::Budget })
    }

    fn rename(&mut self, from: &[u8], to: &[u8], only_new: bool) -> Option<Verdict> {
        if !self.is(from, Step::Has)? {
            return Some(Verdict::NoSuchKey);
        }
        if only_new && self.is(to, Step::Has)? {
            return Some(Verdict::Is(false));
        }
        let done = if only_new { Verdict::Is(true) } else { Verdict::Ok };
        let verdict = self.transfer((from, to), done, Verdict::NoSuchKey)?;
        if verdict == done {
            self.is(from, Step::Remove)?;
        }
        Some(verdict)
    }

    fn copy(&mut self, from: &[u8], to: &[u8], replace: bool) -> Option<Verdict> {
        if !self.is(from, Step::Has)? || !replace && self.is(to, Step::Has)? {
            return Some(Verdict::Is(false));
        }
        self.transfer((from, to), Verdict::Is(true), Verdict::Is(false))
    }

    /// Two letters to each owner: nobody sets anything before all could.
    fn msetnx(&mut self, request: Command<'_>) -> Option<Verdict> {
        let mut pairs: Vec<Vec<Pair>> = Vec::new();
        pairs.resize_with(self.post.share.of, Vec::new);
        for at in (1..request.len()).step_by(2) {
            let (key, value) = (request.at(at), request.at(at + 1));
            pairs[self.post.sharding.of(key)].push((key.to_vec(), value.to_vec()));
        }
        let prepared = self.all(|owner| Step::Prepare(std::mem::take(&mut pairs[owner])))?;
        let is = |wanted: fn(&Outcome) -> bool| prepared.iter().any(wanted);
        if is(|outcome| matches!(outcome, Outcome::Is(false))) {
            return Some(Verdict::Is(false));
        }
        if is(|outcome| matches!(outcome, Outcome::NoRoom)) {
            return Some(Verdict::Budget);
        }
        let set = self.all(|_| Step::SetAll)?;
        let done = set.iter().all(|outcome| matches!(outcome, Outcome::Is(true)));
        Some(if done { Verdict::Is(true) } else { Verdict::Budget })
    }

    /// Has all who are held, and this thread, do a step each; `None` if the server ends.
    fn all(&mut self, mut step: impl FnMut(usize) -> Step) -> Option<Vec<Outcome>> {
        for &other in &self.others {
            self.post.send(other, Letter::Step(step(other)));
        }
        let own = act(self.store, &mut self.prepared, step(self.post.share.me));
        let mut outcomes = vec![own];
        for _ in &self.others {
            outcomes.push(self.post.wait(|letter| match letter {
                Letter::Stepped(outcome) => Ok(outcome),
                other => Err(other),
            })?);
        }
        Some(outcomes)
    }
}

impl<A: Allocator + Clone, D: Data> Drop for Held<'_, A, D> {
    fn drop(&mut self) {
        for &other in &self.others {
            self.post.send(other, Letter::Release);
        }
        // Pairs with the exchange in `together`.
        self.post.holding.store(false, Ordering::Release);
    }
}

/// Executes a command over keys of several threads; `None` if another thread holds some at the moment, and
/// this is to be tried again.
pub fn together<A: Allocator + Clone, D: Data>(
    request: Command<'_>,
    post: &mut Post<A>,
    store: &mut Store<D>,
) -> Option<Verdict> {
    let (name, from, to) = (request.at(0), request.at(1), request.at(2));
    let replace = copy_replaces(request);
    if is(name, "copy") && replace.is_none() {
        return Some(Verdict::Nothing);
    }
    // Pairs with the store of whoever held before.
    let free = post.holding.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
    if free.is_err() {
        return None;
    }
    let pairs = is(name, "msetnx");
    let keys: Vec<_> =
        if pairs { request.iter_from(1).step_by(2).collect() } else { vec![from, to] };
    let Some(mut held) = Held::new(post, store, &keys) else { return Some(Verdict::Nothing) };
    let verdict = match name {
        _ if pairs => held.msetnx(request),
        name if is(name, "copy") => held.copy(from, to, replace.unwrap_or(false)),
        name => held.rename(from, to, is(name, "renamenx")),
    };
    Some(verdict.unwrap_or(Verdict::Nothing))
}

/// Holds still for another thread until it says to go on.
pub fn hold_still<A: Allocator + Clone, D: Data>(
    post: &mut Post<A>,
    store: &mut Store<D>,
    by: usize,
) {
    post.send(by, Letter::Held);
    let mut prepared = Vec::new();
    loop {
        let said = post.wait(|letter| match letter {
            Letter::Step(step) => Ok(Some(step)),
            Letter::Release => Ok(None),
            other => Err(other),
        });
        match said {
            Some(Some(step)) => post.send(by, Letter::Stepped(act(store, &mut prepared, step))),
            _ => return,
        }
    }
}
