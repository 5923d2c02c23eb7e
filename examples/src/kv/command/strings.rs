//! Commands on values.
#![forbid(unsafe_code)]

use super::expiry::{self, Unit};
use super::{Call, Fault, Handled, is};
use crate::kv::memory::Memory;
use crate::kv::numbers::{Decimal, Digits, integer};
use crate::kv::resp::Command;
use crate::kv::store::{Form, now};
use std::fmt::Write;

impl<M: Memory> Call<'_, '_, M> {
    /// Replies with the value of a key, and says whether there is one.
    #[inline(never)]
    fn show(&mut self, key: &[u8]) -> Result<bool, Fault> {
        self.show_here(key)
    }

    /// [`show`](Self::show) without a call, for the most frequent command.
    #[inline(always)]
    fn show_here(&mut self, key: &[u8]) -> Result<bool, Fault> {
        match self.shared.store.get_here(key)? {
            Some(value) => {
                self.shared.stats.hits += 1;
                self.reply.bulk_here(value)?;
                Ok(true)
            }
            None => {
                self.shared.stats.misses += 1;
                self.reply.null()?;
                Ok(false)
            }
        }
    }

    /// Sets a key to what a list has, keeping when it ends.
    fn replace(&mut self, key: &[u8], value: &[u8], form: Form) -> Handled {
        self.shared.store.put(key, value, form, None).map_err(|_| Fault::Budget)
    }

    fn set_plainly(&mut self, key: &[u8], value: &[u8]) -> Handled {
        self.shared.store.set(key, value).map_err(|_| Fault::Budget)
    }
}

#[inline(always)]
pub(super) fn get<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    call.show_here(request.at(1)).map(drop)
}

/// What `SET` and `GETEX` take behind their values.
#[derive(Default)]
struct Options<'a> {
    only_if: Option<bool>,
    get: bool,
    keep_ttl: bool,
    persist: bool,
    end: Option<(Unit, &'a [u8])>,
}

/// Reads options as Redis does (`parseExtendedStringArgumentsOrReply`); `set` tells whose.
fn options(request: Command<'_>, first: usize, set: bool) -> Result<Options<'_>, Fault> {
    let mut options = Options::default();
    let mut at = first;
    while let Some(word) = request.get(at) {
        at += 1;
        if set && is(word, "nx") && options.only_if != Some(true) {
            options.only_if = Some(false);
        } else if set && is(word, "xx") && options.only_if != Some(false) {
            options.only_if = Some(true);
        } else if set && is(word, "get") {
            options.get = true;
        } else if set && is(word, "keepttl") && options.end.is_none() {
            options.keep_ttl = true;
        } else if !set && is(word, "persist") && options.end.is_none() {
            options.persist = true;
        } else {
            let unit = Unit::of_option(word).ok_or(Fault::Syntax)?;
            let other = options.end.is_some_and(|(present, _)| present != unit);
            let value = request.get(at).ok_or(Fault::Syntax)?;
            if other || options.keep_ttl || options.persist {
                return Err(Fault::Syntax);
            }
            options.end = Some((unit, value));
            at += 1;
        }
    }
    Ok(options)
}

#[inline(always)]
pub(super) fn set<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (key, value) = (request.at(1), request.at(2));
    if request.len() == 3 {
        call.shared.store.set_here(key, value).map_err(|_| Fault::Budget)?;
        return Ok(call.reply.ok()?);
    }
    let options = options(request, 3, true)?;
    let end = match options.end {
        Some((unit, text)) => Some(Some(expiry::end_of(text, unit, "set")?)),
        None if options.keep_ttl => None,
        None => Some(None),
    };
    if options.get {
        call.show(key)?;
    }
    if let Some(there) = options.only_if {
        if call.shared.store.end(key).is_some() != there {
            return if options.get { Ok(()) } else { Ok(call.reply.null()?) };
        }
    }
    call.shared.store.put(key, value, Form::Any, end).map_err(|_| Fault::Budget)?;
    if options.get { Ok(()) } else { Ok(call.reply.ok()?) }
}

pub(super) fn setnx<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let key = request.at(1);
    let new = call.shared.store.end(key).is_none();
    if new {
        call.set_plainly(key, request.at(2))?;
    }
    Ok(call.reply.count(usize::from(new))?)
}

pub(super) fn setex<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    set_with_end(call, request, Unit::Seconds, "setex")
}

pub(super) fn psetex<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    set_with_end(call, request, Unit::Millis, "psetex")
}

fn set_with_end<M: Memory>(
    call: &mut Call<'_, '_, M>,
    request: Command<'_>,
    unit: Unit,
    command: &'static str,
) -> Handled {
    let end = expiry::end_of(request.at(2), unit, command)?;
    let (key, value) = (request.at(1), request.at(3));
    call.shared.store.put(key, value, Form::Any, Some(Some(end))).map_err(|_| Fault::Budget)?;
    Ok(call.reply.ok()?)
}

pub(super) fn getset<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let key = request.at(1);
    call.show(key)?;
    call.set_plainly(key, request.at(2))
}

pub(super) fn getdel<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let key = request.at(1);
    if call.show(key)? {
        call.shared.store.remove(key);
    }
    Ok(())
}

pub(super) fn getex<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let key = request.at(1);
    let options = options(request, 2, false)?;
    // Before its time is looked at, as in Redis.
    if call.shared.store.get(key)?.is_none() {
        call.shared.stats.misses += 1;
        return Ok(call.reply.null()?);
    }
    let end = match options.end {
        Some((unit, text)) => Some(expiry::end_of(text, unit, "getex")?),
        None => None,
    };
    call.show(key)?;
    if end.is_some_and(|end| end <= now()) {
        call.shared.store.remove(key);
    } else if end.is_some() || options.persist {
        call.shared.store.set_end(key, end);
    }
    Ok(())
}

pub(super) fn mget<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    call.reply.array(request.len() - 1)?;
    for key in request.iter_from(1) {
        match call.show(key) {
            // What is no string is no value here, as in Redis.
            Err(Fault::WrongType(_)) => call.reply.null()?,
            shown => drop(shown?),
        }
    }
    Ok(())
}

/// There is room for all pairs before the first is set. Only if the system has no memory are those set that come
/// before the one that finds none.
pub(super) fn mset<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() % 2 == 0 {
        return Ok(call.wrong_arity("mset")?);
    }
    set_pairs(call, request)?;
    Ok(call.reply.ok()?)
}

pub(super) fn msetnx<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() % 2 == 0 {
        return Ok(call.wrong_arity("msetnx")?);
    }
    let taken = request.iter_from(1).step_by(2).any(|key| call.shared.store.end(key).is_some());
    if !taken {
        set_pairs(call, request)?;
    }
    Ok(call.reply.count(usize::from(!taken))?)
}

fn set_pairs<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    for at in (1..request.len()).step_by(2) {
        call.set_plainly(request.at(at), request.at(at + 1))?;
    }
    Ok(())
}

pub(super) fn append<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (key, more) = (request.at(1), request.at(2));
    let len = call.shared.store.get(key)?.map_or(0, <[u8]>::len);
    if len > 0 && len + more.len() > call.shared.settings.max_bulk() {
        return Err(Fault::TooLong);
    }
    write_at(call, key, None, more)
}

/// Writes a piece into a string, or behind it, and replies with its length then.
fn write_at<M: Memory>(
    call: &mut Call<'_, '_, M>,
    key: &[u8],
    offset: Option<usize>,
    piece: &[u8],
) -> Handled {
    let written = call.shared.store.write_at(key, offset, piece);
    Ok(call.reply.count(written.map_err(|_| Fault::Budget)?)?)
}

pub(super) fn strlen<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let len = call.shared.store.get(request.at(1))?.map_or(0, <[u8]>::len);
    Ok(call.reply.count(len)?)
}

pub(super) fn setrange<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (key, piece) = (request.at(1), request.at(3));
    let offset = integer(request.at(2)).ok_or(Fault::NotInteger)?;
    let offset = usize::try_from(offset).map_err(|_| Fault::Offset)?;
    let len = call.shared.store.get(key)?.map_or(0, <[u8]>::len);
    if piece.is_empty() {
        return Ok(call.reply.count(len)?);
    }
    let end = offset.checked_add(piece.len());
    if end.is_none_or(|end| end > call.shared.settings.max_bulk()) {
        return Err(Fault::TooLong);
    }
    write_at(call, key, Some(offset), piece)
}

pub(super) fn getrange<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let bound = |at| integer(request.at(at)).ok_or(Fault::NotInteger);
    let (start, end) = (bound(2)?, bound(3)?);
    let value = call.shared.store.get(request.at(1))?.unwrap_or_default();
    let len = value.len() as i64;
    if start < 0 && end < 0 && start > end {
        return Ok(call.reply.bulk(b"")?);
    }
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    let range = value.get(start as usize..(end + 1) as usize);
    Ok(call.reply.bulk(range.unwrap_or_default())?)
}

pub(super) fn incr<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    add(call, request, 1)
}

pub(super) fn decr<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    add(call, request, -1)
}

pub(super) fn incrby<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let by = integer(request.at(2)).ok_or(Fault::NotInteger)?;
    add(call, request, by)
}

pub(super) fn decrby<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let by = integer(request.at(2)).ok_or(Fault::NotInteger)?;
    let by = by.checked_neg().ok_or(Fault::DecrementOverflow)?;
    add(call, request, by)
}

fn add<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>, by: i64) -> Handled {
    let key = request.at(1);
    let old = match call.shared.store.get(key)? {
        Some(text) => integer(text).ok_or(Fault::NotInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Fault::Overflow)?;
    call.replace(key, Digits::new(new).as_slice(), Form::Any)?;
    Ok(call.reply.integer(new)?)
}

pub(super) fn incrbyfloat<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let key = request.at(1);
    let old = Decimal::parse(call.shared.store.get(key)?.unwrap_or(b"0")).ok_or(Fault::NotFloat)?;
    let by = Decimal::parse(request.at(2)).ok_or(Fault::NotFloat)?;
    let sum = old.plus(by).ok_or(Fault::NotFinite)?;
    let mut text = call.text();
    write!(text, "{sum}")?;
    call.replace(key, text.as_slice(), Form::Text)?;
    Ok(call.reply.bulk(text.as_slice())?)
}
