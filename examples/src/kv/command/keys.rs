//! Commands on keys, whatever their values are.
#![forbid(unsafe_code)]

use super::{Call, Fault, Handled, is};
use crate::kv::glob;
use crate::kv::memory::{List, Memory, Scratch};
use crate::kv::numbers::integer;
use crate::kv::store::{Form, now};
use std::fmt::Write;

pub(super) fn del<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let store = &mut call.shared.store;
    let removed = call.request.iter_from(1).filter(|key| store.remove(key)).count();
    Ok(call.reply.count(removed)?)
}

pub(super) fn exists<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let store = &mut call.shared.store;
    let found = call.request.iter_from(1).filter(|key| store.end(key).is_some()).count();
    Ok(call.reply.count(found)?)
}

/// `TYPE`.
pub(super) fn kind<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let there = call.shared.store.end(call.request.at(1)).is_some();
    Ok(call.reply.simple(if there { "string" } else { "none" })?)
}

/// `KEYS pattern`.
pub(super) fn keys<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let pattern = call.request.at(1);
    let now = now();
    let found = count_keys(call, now, 0, usize::MAX, pattern).0;
    show_keys(call, now, 0, usize::MAX, pattern, found)
}

/// How many keys of a scan match, and the next cursor. (The count of an array comes first.)
fn count_keys<M: Memory>(
    call: &Call<'_, '_, M>,
    now: i64,
    cursor: u64,
    count: usize,
    pattern: &[u8],
) -> (usize, u64) {
    let mut found = 0;
    let next = call.shared.store.scan(now, cursor, count, |key| {
        found += usize::from(glob::matches(pattern, key));
    });
    (found, next)
}

/// Replies with the keys of a scan that match.
fn show_keys<M: Memory>(
    call: &mut Call<'_, '_, M>,
    now: i64,
    cursor: u64,
    count: usize,
    pattern: &[u8],
    found: usize,
) -> Handled {
    call.reply.array(found)?;
    let mut written = Ok(());
    let reply = &mut call.reply;
    call.shared.store.scan(now, cursor, count, |key| {
        if written.is_ok() && glob::matches(pattern, key) {
            written = reply.bulk(key);
        }
    });
    Ok(written?)
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
pub(super) fn scan<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let request = call.request;
    let cursor = std::str::from_utf8(request.at(1)).ok().and_then(|text| text.parse().ok());
    let cursor = cursor.ok_or(Fault::Cursor)?;
    let (mut pattern, mut count, mut kind) = (&b"*"[..], 10, true);
    let mut at = 2;
    while let Some(option) = request.get(at) {
        let value = request.get(at + 1).ok_or(Fault::Syntax)?;
        if is(option, "match") {
            pattern = value;
        } else if is(option, "count") {
            let asked = integer(value).ok_or(Fault::NotInteger)?;
            count = usize::try_from(asked).ok().filter(|&count| count > 0).ok_or(Fault::Syntax)?;
        } else if is(option, "type") {
            kind = is(value, "string");
        } else {
            return Err(Fault::Syntax);
        }
        at += 2;
    }
    let now = now();
    let (found, next) = count_keys(call, now, cursor, count, pattern);
    let mut text = call.text();
    write!(text, "{next}")?;
    call.reply.array(2)?;
    call.reply.bulk(text.as_slice())?;
    if kind {
        show_keys(call, now, cursor, count, pattern, found)
    } else {
        Ok(call.reply.array(0)?)
    }
}

pub(super) fn randomkey<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    match call.shared.store.any_key() {
        Some(key) => Ok(call.reply.bulk(key)?),
        None => Ok(call.reply.null()?),
    }
}

pub(super) fn rename<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let (from, to) = (call.request.at(1), call.request.at(2));
    if call.shared.store.end(from).is_none() {
        return Err(Fault::NoSuchKey);
    }
    transfer(call, from, to)?;
    Ok(call.reply.ok()?)
}

pub(super) fn renamenx<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let (from, to) = (call.request.at(1), call.request.at(2));
    if call.shared.store.end(from).is_none() {
        return Err(Fault::NoSuchKey);
    }
    let free = call.shared.store.end(to).is_none();
    if free {
        transfer(call, from, to)?;
    }
    Ok(call.reply.count(usize::from(free))?)
}

/// Moves a value to another key, if that is another.
fn transfer<M: Memory>(call: &mut Call<'_, '_, M>, from: &[u8], to: &[u8]) -> Handled {
    if from != to {
        duplicate(call, from, to)?;
        call.shared.store.remove(from);
    }
    Ok(())
}

/// Copies a value, its form and its end.
fn duplicate<M: Memory>(call: &mut Call<'_, '_, M>, from: &[u8], to: &[u8]) -> Handled {
    let end = call.shared.store.end(from).flatten();
    let form = call.shared.store.form(from).unwrap_or(Form::Any);
    let mut value = call.scratch.list(0);
    value.extend(call.shared.store.get(from).unwrap_or_default())?;
    call.shared.store.put(to, value.as_slice(), form, Some(end)).map_err(|_| Fault::Budget)
}

/// `COPY source destination [DB index] [REPLACE]`.
pub(super) fn copy<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let request = call.request;
    let (from, to) = (request.at(1), request.at(2));
    let (mut replace, mut at) = (false, 3);
    while let Some(word) = request.get(at) {
        at += 1;
        if is(word, "replace") {
            replace = true;
        } else if is(word, "db") && at < request.len() {
            match integer(request.at(at)) {
                Some(0) => {}
                Some(_) => return Err(Fault::Database),
                None => return Err(Fault::NotInteger),
            }
            at += 1;
        } else {
            return Err(Fault::Syntax);
        }
    }
    if from == to {
        return Err(Fault::SameKey);
    }
    let copied =
        call.shared.store.end(from).is_some() && (replace || call.shared.store.end(to).is_none());
    if copied {
        duplicate(call, from, to)?;
    }
    Ok(call.reply.count(usize::from(copied))?)
}

/// `OBJECT ENCODING`.
pub(super) fn object<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    if !is(call.request.at(1), "encoding") {
        return Ok(call.unknown_subcommand("OBJECT")?);
    }
    if call.request.len() != 3 {
        return Ok(call.wrong_arity("object|encoding")?);
    }
    let key = call.request.at(2);
    let form = call.shared.store.form(key);
    let Some((form, value)) = form.zip(call.shared.store.get(key)) else {
        return Ok(call.reply.null()?);
    };
    let encoding = match form {
        Form::Any if integer(value).is_some() => "int",
        Form::Any | Form::Text if value.len() <= EMBEDDED => "embstr",
        _ => "raw",
    };
    Ok(call.reply.bulk(encoding.as_bytes())?)
}

/// Longest string that Redis keeps with its header.
const EMBEDDED: usize = 44;
