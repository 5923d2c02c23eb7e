//! Commands on lists.
#![forbid(unsafe_code)]

use super::{Call, Fault, Handled};
use crate::kv::memory::{Data, Memory, Room};
use crate::kv::numbers::integer;
use crate::kv::reply::OutOfMemory;
use crate::kv::resp::Command;
use crate::kv::values::List;

/// The number that a word is.
pub(super) fn number(request: Command<'_>, at: usize) -> Result<i64, Fault> {
    integer(request.at(at)).ok_or(Fault::NotInteger)
}

/// How many are asked for by a word that may be missing.
pub(super) fn count_at(request: Command<'_>, at: usize) -> Result<Option<usize>, Fault> {
    let Some(word) = request.get(at) else { return Ok(None) };
    let count = integer(word).and_then(|count| usize::try_from(count).ok());
    count.map(Some).ok_or(Fault::NotPositive)
}

/// A range of Redis, both ends included and counted from behind if below 0, among `len` elements:
/// the first, and the one behind the last.
pub(super) fn range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    // Far behind the first is nothing, too.
    let stop = if stop < -len { -1 } else { from_end(stop).min(len - 1) };
    let (start, end) = (from_end(start).min(len), stop + 1);
    (start as usize, end.max(start) as usize)
}

pub(super) fn lpush<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    push(call, request, true, true)
}

pub(super) fn rpush<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    push(call, request, false, true)
}

pub(super) fn lpushx<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    push(call, request, true, false)
}

pub(super) fn rpushx<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    push(call, request, false, false)
}

/// There is room for all elements before the first is added. Only if the system has no memory are those in the list
/// that come before the one that finds none; so it is with other types.
fn push<M: Memory>(
    call: &mut Call<'_, '_, M>,
    request: Command<'_>,
    front: bool,
    create: bool,
) -> Handled {
    let add = |list: &mut List<M::Data>, room: &Room<M::Data>| -> Result<usize, Fault> {
        for word in request.iter_from(2) {
            list.push(front, word, room).map_err(full)?;
        }
        Ok(list.len())
    };
    let store = &mut call.shared.store;
    let len = if create {
        store.change_or_create(request.at(1), add).map_err(of_budget)?
    } else {
        store.change(request.at(1), add)?.transpose()?.unwrap_or(0)
    };
    Ok(call.reply.count(len)?)
}

/// Memory for data has ended.
pub(super) fn full(_: OutOfMemory) -> Fault {
    Fault::Budget
}

/// In what only works on data, memory for data has ended.
pub(super) fn of_budget(fault: Fault) -> Fault {
    if fault == Fault::Reply { Fault::Budget } else { fault }
}

pub(super) fn lpop<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    pop(call, request, true, "lpop")
}

pub(super) fn rpop<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    pop(call, request, false, "rpop")
}

fn pop<M: Memory>(
    call: &mut Call<'_, '_, M>,
    request: Command<'_>,
    front: bool,
    name: &str,
) -> Handled {
    if request.len() > 3 {
        return Ok(call.wrong_arity(name)?);
    }
    let (key, count) = (request.at(1), count_at(request, 2)?);
    let reply = &mut call.reply;
    let popped = call.shared.store.change(key, |list: &mut List<M::Data>, room| -> Handled {
        let taken = count.unwrap_or(1).min(list.len());
        if count.is_some() {
            reply.array(taken)?;
        }
        // The reply may be refused: so nothing goes before it is whole.
        for index in 0..taken {
            let index = if front { index } else { list.len() - 1 - index };
            reply.bulk(list.get(index).unwrap_or_default())?;
        }
        for _ in 0..taken {
            let Some(element) = list.pop(front, room) else { break };
            List::discard_one(element, room);
        }
        Ok(())
    })?;
    match (popped, count) {
        (Some(popped), _) => popped,
        (None, Some(_)) => Ok(call.reply.null_array()?),
        (None, None) => Ok(call.reply.null()?),
    }
}

pub(super) fn llen<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let list = call.shared.store.look::<List<M::Data>>(request.at(1))?;
    Ok(call.reply.count(list.map_or(0, |(list, _)| list.len()))?)
}

pub(super) fn lrange<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (start, stop) = (number(request, 2)?, number(request, 3)?);
    let Some((list, _)) = call.shared.store.look::<List<M::Data>>(request.at(1))? else {
        return Ok(call.reply.array(0)?);
    };
    let (start, end) = range(start, stop, list.len());
    call.reply.array(end - start)?;
    list.range(start, end).try_for_each(|element| Ok(call.reply.bulk(element)?))
}

/// An index from either end.
fn index(at: i64, len: usize) -> usize {
    let at = if at < 0 { at.saturating_add(len as i64) } else { at };
    usize::try_from(at).unwrap_or(usize::MAX)
}

pub(super) fn lindex<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let at = integer(request.at(2));
    let Some((list, _)) = call.shared.store.look::<List<M::Data>>(request.at(1))? else {
        return Ok(call.reply.null()?);
    };
    match list.get(index(at.ok_or(Fault::NotInteger)?, list.len())) {
        Some(element) => Ok(call.reply.bulk(element)?),
        None => Ok(call.reply.null()?),
    }
}

pub(super) fn lset<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (at, word) = (integer(request.at(2)), request.at(3));
    let set = |list: &mut List<M::Data>, room: &Room<M::Data>| {
        let index = index(at.ok_or(Fault::NotInteger)?, list.len());
        list.set(index, word, room).map_err(full)
    };
    match call.shared.store.change(request.at(1), set)?.transpose()? {
        None => Err(Fault::NoSuchKey),
        Some(false) => Err(Fault::Index),
        Some(true) => Ok(call.reply.ok()?),
    }
}

pub(super) fn lrem<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (count, word) = (number(request, 2)?, request.at(3));
    let most = match usize::try_from(count.unsigned_abs()) {
        Ok(most @ 1..) => most,
        _ => usize::MAX,
    };
    let removed = call.shared.store.change(request.at(1), |list: &mut List<_>, room| {
        list.remove(word, most, count >= 0, room)
    })?;
    Ok(call.reply.count(removed.unwrap_or(0))?)
}

pub(super) fn ltrim<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (start, stop) = (number(request, 2)?, number(request, 3)?);
    call.shared.store.change(request.at(1), |list: &mut List<_>, room| {
        let (start, end) = range(start, stop, list.len());
        trim(list, start, end, room);
    })?;
    Ok(call.reply.ok()?)
}

fn trim<D: Data>(list: &mut List<D>, start: usize, end: usize, room: &Room<D>) {
    if start == end { list.trim(0, 0, room) } else { list.trim(start, end, room) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (start, stop, len, expected) in [
            (0, -1, 5, (0, 5)),
            (1, 3, 5, (1, 4)),
            (-2, -1, 5, (3, 5)),
            (-100, 100, 5, (0, 5)),
            (3, 1, 5, (3, 3)),
            (7, 9, 5, (5, 5)),
            (0, -100, 5, (0, 0)),
            (i64::MIN, i64::MAX, 5, (0, 5)),
            (0, i64::MIN, 5, (0, 0)),
        ] {
            assert_eq!(range(start, stop, len), expected, "{start} {stop}");
        }
    }
}
