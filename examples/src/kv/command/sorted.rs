//! Commands on sorted sets.
#![forbid(unsafe_code)]

use super::lists::{count_at, full, number, of_budget, range};
use super::{Call, Fault, Handled, is};
use crate::kv::memory::{Memory, Room};
use crate::kv::numbers::{Double, score};
use crate::kv::reply::{Protocol, Reply, Sink};
use crate::kv::resp::Command;
use crate::kv::values::{Score, Sorted};

impl<K: Sink> Reply<'_, K> {
    /// A score: a number in RESP3, before that a string.
    pub(super) fn score(&mut self, score: Score) -> Handled {
        let text = Double::new(score);
        match self.protocol {
            Protocol::Resp2 => Ok(self.bulk(text.as_slice())?),
            Protocol::Resp3 => Ok(self.double(text.as_slice())?),
        }
    }
}

/// What `ZADD` is told.
#[derive(Clone, Copy, Default)]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    /// Count the changed ones, too.
    ch: bool,
    incr: bool,
}

impl Options {
    /// Takes a word; whether it is an option.
    fn take(&mut self, word: &[u8]) -> bool {
        let options = [
            ("nx", &mut self.nx),
            ("xx", &mut self.xx),
            ("gt", &mut self.gt),
            ("lt", &mut self.lt),
            ("ch", &mut self.ch),
            ("incr", &mut self.incr),
        ];
        options.into_iter().find(|(name, _)| is(word, name)).map(|(_, flag)| *flag = true).is_some()
    }

    /// The score that an element gets; `None` to leave it, or leave it out.
    fn score(self, old: Option<Score>, given: Score) -> Result<Option<Score>, Fault> {
        let Some(old) = old else { return Ok((!self.xx).then_some(given)) };
        if self.nx {
            return Ok(None);
        }
        let new = if self.incr { old + given } else { given };
        if new.is_nan() {
            return Err(Fault::NotANumber);
        }
        let kept = (self.gt && new <= old) || (self.lt && new >= old);
        Ok((!kept).then_some(new))
    }
}

/// What became of the elements of a `ZADD`.
#[derive(Default)]
struct Added {
    new: usize,
    changed: usize,
    /// The last score that was set.
    score: Option<Score>,
}

/// `ZADD key [NX | XX] [GT | LT] [CH] [INCR] score element ...`.
pub(super) fn zadd<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (mut options, mut first) = (Options::default(), 2);
    while first < request.len() && options.take(request.at(first)) {
        first += 1;
    }
    let words = request.len() - first;
    if words == 0 || words % 2 == 1 {
        return Err(Fault::Syntax);
    }
    if options.nx && options.xx {
        return Err(Fault::NxAndXx);
    }
    if (options.gt && options.lt) || (options.nx && (options.gt || options.lt)) {
        return Err(Fault::GtLtNx);
    }
    if options.incr && words > 2 {
        return Err(Fault::OneIncrement);
    }
    let pairs = || (first..request.len()).step_by(2).map(|at| (request.at(at), request.at(at + 1)));
    // All scores are looked at before any is set.
    pairs().try_for_each(|(text, _)| score(text).map(drop).ok_or(Fault::NotFloat))?;
    let add = |sorted: &mut Sorted<M::Data>, room: &Room<M::Data>| -> Result<Added, Fault> {
        let mut added = Added::default();
        for (text, element) in pairs() {
            let old = sorted.score(element, room);
            let Some(new) = options.score(old, score(text).unwrap_or_default())? else { continue };
            added.score = Some(new);
            if old != Some(new) {
                added.new += usize::from(sorted.set(element, new, room).map_err(full)?);
                added.changed += 1;
            }
        }
        Ok(added)
    };
    let added = if options.xx {
        call.shared.store.change(request.at(1), add)?.transpose()?.unwrap_or_default()
    } else {
        call.shared.store.change_or_create(request.at(1), add).map_err(of_budget)?
    };
    match added.score {
        Some(score) if options.incr => call.reply.score(score),
        None if options.incr => Ok(call.reply.null()?),
        _ => Ok(call.reply.count(if options.ch { added.changed } else { added.new })?),
    }
}

pub(super) fn zscore<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let sorted = call.shared.store.look::<Sorted<M::Data>>(request.at(1))?;
    match sorted.and_then(|(sorted, room)| sorted.score(request.at(2), room)) {
        Some(score) => call.reply.score(score),
        None => Ok(call.reply.null()?),
    }
}

pub(super) fn zcard<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let sorted = call.shared.store.look::<Sorted<M::Data>>(request.at(1))?;
    Ok(call.reply.count(sorted.map_or(0, |(sorted, _)| sorted.len()))?)
}

pub(super) fn zrem<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let removed = call.shared.store.change(request.at(1), |sorted: &mut Sorted<_>, room| {
        request.iter_from(2).filter(|element| sorted.remove(element, room).is_some()).count()
    })?;
    Ok(call.reply.count(removed.unwrap_or(0))?)
}

/// `ZPOPMIN key [count]`.
pub(super) fn zpopmin<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() > 3 {
        return Err(Fault::Syntax);
    }
    let (key, count) = (request.at(1), count_at(request, 2)?);
    let reply = &mut call.reply;
    let nested = count.is_some() && reply.protocol == Protocol::Resp3;
    let popped =
        call.shared.store.change(key, |sorted: &mut Sorted<M::Data>, room| -> Handled {
            let count = count.unwrap_or(1).min(sorted.len());
            reply.array(if nested { count } else { 2 * count })?;
            // The reply may be refused: so nothing goes before it is whole.
            for (element, score) in sorted.range(0, count, false) {
                pair(reply, element, *score, nested)?;
            }
            (0..count).for_each(|_| sorted.remove_first(room));
            Ok(())
        })?;
    popped.unwrap_or_else(|| Ok(call.reply.array(0)?))
}

/// An element and its score.
fn pair<K: Sink>(reply: &mut Reply<'_, K>, element: &[u8], score: Score, nested: bool) -> Handled {
    if nested {
        reply.array(2)?;
    }
    reply.bulk(element)?;
    reply.score(score)
}

/// `ZRANGE key start stop [REV] [WITHSCORES]`, by rank.
pub(super) fn zrange<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    show_range(call, request, false)
}

/// `ZREVRANGE key start stop [WITHSCORES]`.
pub(super) fn zrevrange<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    show_range(call, request, true)
}

fn show_range<M: Memory>(
    call: &mut Call<'_, '_, M>,
    request: Command<'_>,
    reversed: bool,
) -> Handled {
    let (mut reverse, mut scores) = (reversed, false);
    for word in request.iter_from(4) {
        match word {
            word if !reversed && is(word, "rev") => reverse = true,
            word if is(word, "withscores") => scores = true,
            _ => return Err(Fault::Syntax),
        }
    }
    let (start, stop) = (number(request, 2)?, number(request, 3)?);
    let Some((sorted, _)) = call.shared.store.look::<Sorted<M::Data>>(request.at(1))? else {
        return Ok(call.reply.array(0)?);
    };
    let (start, end) = range(start, stop, sorted.len());
    let nested = scores && call.reply.protocol == Protocol::Resp3;
    let words = if scores && !nested { 2 } else { 1 };
    call.reply.array((end - start) * words)?;
    for (element, score) in sorted.range(start, end, reverse) {
        if scores {
            pair(&mut call.reply, element, *score, nested)?;
        } else {
            call.reply.bulk(element)?;
        }
    }
    Ok(())
}
