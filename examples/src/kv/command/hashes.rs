//! Commands on hashes.
#![forbid(unsafe_code)]

use super::keys::{ScanOptions, begin_scan, cursor, scan_options};
use super::lists::{full, number, of_budget};
use super::{Call, Fault, Handled};
use crate::kv::glob;
use crate::kv::memory::{Memory, Room};
use crate::kv::numbers::{Digits, integer};
use crate::kv::resp::Command;
use crate::kv::values::Hash;

pub(super) fn hset<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() % 2 == 1 {
        return Ok(call.wrong_arity("hset")?);
    }
    let new = set_fields(call, request)?;
    Ok(call.reply.count(new)?)
}

pub(super) fn hmset<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() % 2 == 1 {
        return Ok(call.wrong_arity("hmset")?);
    }
    set_fields(call, request)?;
    Ok(call.reply.ok()?)
}

/// How many fields are new.
fn set_fields<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Result<usize, Fault> {
    let set = |hash: &mut Hash<M::Data>, room: &Room<M::Data>| -> Result<usize, Fault> {
        let mut new = 0;
        for at in (2..request.len()).step_by(2) {
            let field = hash.set(request.at(at), request.at(at + 1), room);
            new += usize::from(field.map_err(full)?);
        }
        Ok(new)
    };
    call.shared.store.change_or_create(request.at(1), set).map_err(of_budget)
}

pub(super) fn hget<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let hash = call.shared.store.look::<Hash<M::Data>>(request.at(1))?;
    match hash.and_then(|(hash, room)| hash.get(request.at(2), room)) {
        Some(value) => Ok(call.reply.bulk(value)?),
        None => Ok(call.reply.null()?),
    }
}

pub(super) fn hmget<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let hash = call.shared.store.look::<Hash<M::Data>>(request.at(1))?;
    call.reply.array(request.len() - 2)?;
    for field in request.iter_from(2) {
        match hash.and_then(|(hash, room)| hash.get(field, room)) {
            Some(value) => call.reply.bulk(value)?,
            None => call.reply.null()?,
        }
    }
    Ok(())
}

pub(super) fn hgetall<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let hash = call.shared.store.look::<Hash<M::Data>>(request.at(1))?;
    let items = hash.map_or(&[][..], |(hash, _)| hash.items());
    call.reply.map(items.len())?;
    for (field, value) in items {
        call.reply.bulk(field)?;
        call.reply.bulk(value)?;
    }
    Ok(())
}

pub(super) fn hkeys<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let hash = call.shared.store.look::<Hash<M::Data>>(request.at(1))?;
    let items = hash.map_or(&[][..], |(hash, _)| hash.items());
    call.reply.array(items.len())?;
    items.iter().try_for_each(|(field, _)| Ok(call.reply.bulk(field)?))
}

pub(super) fn hvals<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let hash = call.shared.store.look::<Hash<M::Data>>(request.at(1))?;
    let items = hash.map_or(&[][..], |(hash, _)| hash.items());
    call.reply.array(items.len())?;
    items.iter().try_for_each(|(_, value)| Ok(call.reply.bulk(value)?))
}

pub(super) fn hdel<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let removed = call.shared.store.change(request.at(1), |hash: &mut Hash<_>, room| {
        request.iter_from(2).filter(|field| hash.remove(field, room)).count()
    })?;
    Ok(call.reply.count(removed.unwrap_or(0))?)
}

pub(super) fn hlen<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let hash = call.shared.store.look::<Hash<M::Data>>(request.at(1))?;
    Ok(call.reply.count(hash.map_or(0, |(hash, _)| hash.len()))?)
}

pub(super) fn hexists<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let hash = call.shared.store.look::<Hash<M::Data>>(request.at(1))?;
    let value = hash.and_then(|(hash, room)| hash.get(request.at(2), room));
    Ok(call.reply.count(usize::from(value.is_some()))?)
}

pub(super) fn hincrby<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (field, by) = (request.at(2), number(request, 3)?);
    let add = |hash: &mut Hash<M::Data>, room: &Room<M::Data>| -> Result<i64, Fault> {
        let old = match hash.get(field, room) {
            Some(text) => integer(text).ok_or(Fault::HashNotInteger)?,
            None => 0,
        };
        let new = old.checked_add(by).ok_or(Fault::Overflow)?;
        hash.set(field, Digits::new(new).as_slice(), room).map_err(full)?;
        Ok(new)
    };
    let new = call.shared.store.change_or_create(request.at(1), add).map_err(of_budget)?;
    Ok(call.reply.integer(new)?)
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`.
pub(super) fn hscan<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (key, cursor) = (request.at(1), cursor(request.at(2))?);
    if call.shared.store.look::<Hash<M::Data>>(key)?.is_none() {
        begin_scan(call, 0)?;
        return Ok(call.reply.array(0)?);
    }
    let ScanOptions { pattern, count, .. } = scan_options(request, 3)?;
    let hash = call.shared.store.look::<Hash<M::Data>>(key)?;
    let next = hash.map_or(0, |(hash, _)| hash.scan(cursor, count).1);
    begin_scan(call, next)?;
    let hash = call.shared.store.look::<Hash<M::Data>>(key)?;
    let items = hash.map_or(&[][..], |(hash, _)| hash.scan(cursor, count).0);
    let count = glob::count(pattern, items.iter().map(|(field, _)| &**field))?;
    let found = items.iter().filter(|(field, _)| glob::matches(pattern, field, false) == Ok(true));
    call.reply.array(count * 2)?;
    for (field, value) in found {
        call.reply.bulk(field)?;
        call.reply.bulk(value)?;
    }
    Ok(())
}
