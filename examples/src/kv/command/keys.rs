//! Commands on keys, whatever their values are.
#![forbid(unsafe_code)]

use super::{Call, Fault, Handled, is};
use crate::kv::glob::{self, TooCostly};
use crate::kv::memory::Memory;
use crate::kv::numbers::{self, integer};
use crate::kv::resp::Command;
use crate::kv::store::{Form, now};
use crate::kv::values::{Kind, Value};
use std::fmt::Write;

pub(super) fn del<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let store = &mut call.shared.store;
    let removed = request.iter_from(1).filter(|key| store.remove(key)).count();
    Ok(call.reply.count(removed)?)
}

pub(super) fn exists<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let store = &mut call.shared.store;
    let found = request.iter_from(1).filter(|key| store.end(key).is_some()).count();
    Ok(call.reply.count(found)?)
}

/// `TYPE`.
pub(super) fn kind<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let kind = call.shared.store.kind(request.at(1));
    Ok(call.reply.simple(kind.map_or("none", Kind::name))?)
}

/// `KEYS pattern`.
pub(super) fn keys<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let wanted = Wanted { now: now(), pattern: request.at(1), kind: None };
    let found = count_keys(call, &wanted, 0, usize::MAX)?.0;
    show_keys(call, &wanted, 0, usize::MAX, found)
}

/// Which keys of a scan are shown.
struct Wanted<'a> {
    now: i64,
    pattern: &'a [u8],
    kind: Option<&'a [u8]>,
}

impl Wanted<'_> {
    fn has(&self, key: &[u8], kind: Kind) -> Result<bool, TooCostly> {
        let is_asked = self.kind.is_none_or(|name| is(name, kind.name()));
        Ok(is_asked && glob::matches(self.pattern, key, false)?)
    }
}

/// How many keys of a scan are wanted, and the next cursor. (The count of an array comes first.)
fn count_keys<M: Memory>(
    call: &Call<'_, '_, M>,
    wanted: &Wanted<'_>,
    cursor: u64,
    count: usize,
) -> Result<(usize, u64), TooCostly> {
    let mut found = Ok(0);
    let next = call.shared.store.scan(wanted.now, cursor, count, |key, kind| {
        if let Ok(so_far) = found {
            found = wanted.has(key, kind).map(|has| so_far + usize::from(has));
        }
    });
    Ok((found?, next))
}

/// Replies with the keys of a scan that are wanted.
fn show_keys<M: Memory>(
    call: &mut Call<'_, '_, M>,
    wanted: &Wanted<'_>,
    cursor: u64,
    count: usize,
    found: usize,
) -> Handled {
    call.reply.array(found)?;
    let mut written = Ok(());
    let reply = &mut call.reply;
    call.shared.store.scan(wanted.now, cursor, count, |key, kind| {
        if written.is_ok() && wanted.has(key, kind) == Ok(true) {
            written = reply.bulk(key);
        }
    });
    Ok(written?)
}

/// A cursor of a scan.
pub(super) fn cursor(text: &[u8]) -> Result<u64, Fault> {
    numbers::cursor(text).ok_or(Fault::Cursor)
}

/// What a scan is asked for.
pub(super) struct ScanOptions<'a> {
    pub pattern: &'a [u8],
    pub count: usize,
    /// The type, which only keys have.
    pub kind: Option<&'a [u8]>,
}

/// Reads the options of a scan behind the first words.
pub(super) fn scan_options(request: Command<'_>, first: usize) -> Result<ScanOptions<'_>, Fault> {
    let mut options = ScanOptions { pattern: b"*", count: 10, kind: None };
    let mut at = first;
    while let Some(option) = request.get(at) {
        let value = request.get(at + 1).ok_or(Fault::Syntax)?;
        if is(option, "match") {
            options.pattern = value;
        } else if is(option, "count") {
            let asked = integer(value).ok_or(Fault::NotInteger)?;
            let count = usize::try_from(asked).ok().filter(|&count| count > 0);
            options.count = count.ok_or(Fault::Syntax)?;
        } else if is(option, "type") && first == 2 {
            options.kind = Some(value);
        } else {
            return Err(Fault::Syntax);
        }
        at += 2;
    }
    Ok(options)
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
pub(super) fn scan<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let share = call.shared.share;
    let cursor = share.local(cursor(request.at(1))?);
    let ScanOptions { pattern, count, kind } = scan_options(request, 2)?;
    let wanted = Wanted { now: now(), pattern, kind };
    let (found, next) = count_keys(call, &wanted, cursor, count)?;
    begin_scan(call, share.cursor(next))?;
    show_keys(call, &wanted, cursor, count, found)
}

/// The beginning of a scan's reply: the next cursor.
pub(super) fn begin_scan<M: Memory>(call: &mut Call<'_, '_, M>, next: u64) -> Handled {
    let mut text = call.text();
    write!(text, "{next}")?;
    call.reply.array(2)?;
    Ok(call.reply.bulk(text.as_slice())?)
}

pub(super) fn randomkey<M: Memory>(call: &mut Call<'_, '_, M>, _: Command<'_>) -> Handled {
    match call.shared.store.any_key() {
        Some(key) => Ok(call.reply.bulk(key)?),
        None => Ok(call.reply.null()?),
    }
}

pub(super) fn rename<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (from, to) = (request.at(1), request.at(2));
    if call.shared.store.end(from).is_none() {
        return Err(Fault::NoSuchKey);
    }
    transfer(call, from, to)?;
    Ok(call.reply.ok()?)
}

pub(super) fn renamenx<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (from, to) = (request.at(1), request.at(2));
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
        call.shared.store.rename(from, to).map_err(|_| Fault::Budget)?;
    }
    Ok(())
}

/// Whether the options of a `COPY` say that it replaces; `None` if they are wrong.
pub(in crate::kv) fn copy_replaces(request: Command<'_>) -> Option<bool> {
    copy_options(request).ok()
}

fn copy_options(request: Command<'_>) -> Result<bool, Fault> {
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
    Ok(replace)
}

/// `COPY source destination [DB index] [REPLACE]`.
pub(super) fn copy<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (from, to) = (request.at(1), request.at(2));
    let replace = copy_options(request)?;
    if from == to {
        return Err(Fault::SameKey);
    }
    let copied =
        call.shared.store.end(from).is_some() && (replace || call.shared.store.end(to).is_none());
    if copied {
        call.shared.store.copy(from, to).map_err(|_| Fault::Budget)?;
    }
    Ok(call.reply.count(usize::from(copied))?)
}

/// `OBJECT ENCODING`.
pub(super) fn object<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if !is(request.at(1), "encoding") {
        return Ok(call.unknown_subcommand(request, "OBJECT")?);
    }
    if request.len() != 3 {
        return Ok(call.wrong_arity("object|encoding")?);
    }
    let key = request.at(2);
    let Some((value, form)) = call.shared.store.value(key) else {
        return Ok(call.reply.null()?);
    };
    let encoding = match (value, form) {
        (Value::Many(_), _) => value.encoding().unwrap_or_default(),
        (Value::Text(text), Form::Any) if integer(text).is_some() => "int",
        (Value::Text(text), Form::Any | Form::Text) if text.len() <= EMBEDDED => "embstr",
        (Value::Text(_), _) => "raw",
    };
    Ok(call.reply.bulk(encoding.as_bytes())?)
}

/// Longest string that Redis keeps with its header.
const EMBEDDED: usize = 44;
