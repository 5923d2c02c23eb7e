//! Commands on sets.
#![forbid(unsafe_code)]

use super::keys::{ScanOptions, begin_scan, cursor, scan_options};
use super::lists::{count_at, full, number, of_budget};
use super::{Call, Fault, Handled};
use crate::kv::glob;
use crate::kv::memory::{List, Memory, Room, Scratch};
use crate::kv::resp::Command;
use crate::kv::values::Set;

pub(super) fn sadd<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let add = |set: &mut Set<M::Data>, room: &Room<M::Data>| -> Result<usize, Fault> {
        let mut new = 0;
        for element in request.iter_from(2) {
            new += usize::from(set.add(element, room).map_err(full)?);
        }
        Ok(new)
    };
    let new = call.shared.store.change_or_create(request.at(1), add).map_err(of_budget)?;
    Ok(call.reply.count(new)?)
}

pub(super) fn srem<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let removed = call.shared.store.change(request.at(1), |set: &mut Set<_>, room| {
        request.iter_from(2).filter(|element| set.remove(element, room)).count()
    })?;
    Ok(call.reply.count(removed.unwrap_or(0))?)
}

pub(super) fn smembers<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let set = call.shared.store.look::<Set<M::Data>>(request.at(1))?;
    let items = set.map_or(&[][..], |(set, _)| set.items());
    call.reply.set(items.len())?;
    items.iter().try_for_each(|(element, ())| Ok(call.reply.bulk(element)?))
}

pub(super) fn sismember<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let set = call.shared.store.look::<Set<M::Data>>(request.at(1))?;
    let there = set.is_some_and(|(set, room)| set.has(request.at(2), room));
    Ok(call.reply.count(usize::from(there))?)
}

pub(super) fn scard<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let set = call.shared.store.look::<Set<M::Data>>(request.at(1))?;
    Ok(call.reply.count(set.map_or(0, |(set, _)| set.len()))?)
}

/// `SPOP key [count]`.
pub(super) fn spop<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() > 3 {
        return Err(Fault::Syntax);
    }
    let (key, count) = (request.at(1), count_at(request, 2)?);
    let reply = &mut call.reply;
    let scratch = call.scratch;
    let popped = call.shared.store.change(key, |set: &mut Set<M::Data>, room| -> Handled {
        let len = set.len();
        let taken = count.unwrap_or(1).min(len);
        if count.is_some() {
            reply.set(taken)?;
        }
        // The reply may be refused: so those that are drawn move behind the others, and go when it is whole.
        let mut drawn = scratch.list(0);
        let written = (0..taken).try_for_each(|count| -> Handled {
            let last = len - 1 - count;
            let place = room.random(last + 1);
            reply.bulk(&set.items()[place].0)?;
            if count + 1 < taken {
                drawn.push(place).map_err(|_| Fault::Scratch)?;
            }
            set.swap(place, last, room);
            Ok(())
        });
        if written.is_ok() {
            (0..taken).for_each(|count| set.remove_at(len - 1 - count, room));
        } else {
            let moves = drawn.as_slice().iter().enumerate().rev();
            moves.for_each(|(count, &place)| set.swap(place, len - 1 - count, room));
        }
        written
    })?;
    match (popped, count) {
        (Some(popped), _) => popped,
        (None, Some(_)) => Ok(call.reply.set(0)?),
        (None, None) => Ok(call.reply.null()?),
    }
}

/// Bytes of the shortest string in a reply.
const SHORTEST: usize = b"$0\r\n\r\n".len();

/// `SRANDMEMBER key [count]`: below 0, so many that may repeat, if there can be memory for so many.
pub(super) fn srandmember<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() > 3 {
        return Err(Fault::Syntax);
    }
    let count = match request.get(2) {
        Some(_) => Some(number(request, 2)?).filter(|&count| count != i64::MIN),
        None => Some(1),
    };
    let count = count.ok_or(Fault::Between(-i64::MAX, i64::MAX))?;
    let one = request.len() == 2;
    let Some((set, room)) = call.shared.store.look::<Set<M::Data>>(request.at(1))? else {
        let none = if one { call.reply.null() } else { call.reply.array(0) };
        return Ok(none?);
    };
    let (len, asked) = (set.len(), usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX));
    if one {
        return Ok(call.reply.bulk(&set.items()[room.random(len)].0)?);
    }
    if count < 0 {
        let buffers = call.shared.settings.limits().share(call.shared.share.of).buffers;
        if asked > buffers / SHORTEST {
            return Err(Fault::Reply);
        }
        call.reply.array(asked)?;
        return (0..asked)
            .try_for_each(|_| Ok(call.reply.bulk(&set.items()[room.random(len)].0)?));
    }
    call.reply.array(asked.min(len))?;
    // Of those still to come, each is taken with the same chance (Knuth's algorithm S).
    let mut wanted = asked.min(len);
    for (index, (element, ())) in set.items().iter().enumerate() {
        if room.random(len - index) < wanted {
            call.reply.bulk(element)?;
            wanted -= 1;
        }
    }
    Ok(())
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`.
pub(super) fn sscan<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (key, cursor) = (request.at(1), cursor(request.at(2))?);
    if call.shared.store.look::<Set<M::Data>>(key)?.is_none() {
        begin_scan(call, 0)?;
        return Ok(call.reply.array(0)?);
    }
    let ScanOptions { pattern, count, .. } = scan_options(request, 3)?;
    let set = call.shared.store.look::<Set<M::Data>>(key)?;
    let next = set.map_or(0, |(set, _)| set.scan(cursor, count).1);
    begin_scan(call, next)?;
    let set = call.shared.store.look::<Set<M::Data>>(key)?;
    let items = set.map_or(&[][..], |(set, _)| set.scan(cursor, count).0);
    let count = glob::count(pattern, items.iter().map(|(element, ())| &**element))?;
    let mut found =
        items.iter().filter(|(element, ())| glob::matches(pattern, element, false) == Ok(true));
    call.reply.array(count)?;
    found.try_for_each(|(element, ())| Ok(call.reply.bulk(element)?))
}
