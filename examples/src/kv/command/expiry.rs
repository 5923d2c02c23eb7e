//! Commands on when keys end.
#![forbid(unsafe_code)]

use super::{Call, Fault, Handled, is};
use crate::kv::memory::Memory;
use crate::kv::numbers::integer;
use crate::kv::resp::Command;
use crate::kv::store::now;

/// How a time is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Millis,
    /// Seconds since 1970.
    SecondsAt,
    /// Milliseconds since 1970.
    MillisAt,
}

impl Unit {
    /// The unit of an option of `SET`.
    pub(super) fn of_option(word: &[u8]) -> Option<Self> {
        let units = [
            ("ex", Self::Seconds),
            ("px", Self::Millis),
            ("exat", Self::SecondsAt),
            ("pxat", Self::MillisAt),
        ];
        units.iter().find(|(name, _)| is(word, name)).map(|&(_, unit)| unit)
    }

    /// The moment in milliseconds since 1970; `None` if there is none.
    fn moment(self, value: i64) -> Option<i64> {
        let millis = match self {
            Self::Seconds | Self::SecondsAt => value.checked_mul(1000)?,
            Self::Millis | Self::MillisAt => value,
        };
        match self {
            Self::Seconds | Self::Millis => millis.checked_add(now()),
            Self::SecondsAt | Self::MillisAt => Some(millis),
        }
    }
}

/// The end that an option of `command` gives: after 1970, and for spans after now.
pub(super) fn end_of(text: &[u8], unit: Unit, command: &'static str) -> Result<i64, Fault> {
    let value = integer(text).ok_or(Fault::NotInteger)?;
    let moment = if value > 0 { unit.moment(value) } else { None };
    moment.ok_or(Fault::Expire(command))
}

/// When `EXPIRE` is to do nothing.
#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

pub(super) fn expire<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    expire_in(call, request, Unit::Seconds, "expire")
}

pub(super) fn pexpire<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    expire_in(call, request, Unit::Millis, "pexpire")
}

pub(super) fn expireat<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    expire_in(call, request, Unit::SecondsAt, "expireat")
}

pub(super) fn pexpireat<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    expire_in(call, request, Unit::MillisAt, "pexpireat")
}

fn expire_in<M: Memory>(
    call: &mut Call<'_, '_, M>,
    request: Command<'_>,
    unit: Unit,
    command: &'static str,
) -> Handled {
    let mut conditions = Conditions::default();
    for word in request.iter_from(3) {
        match word {
            word if is(word, "nx") => conditions.nx = true,
            word if is(word, "xx") => conditions.xx = true,
            word if is(word, "gt") => conditions.gt = true,
            word if is(word, "lt") => conditions.lt = true,
            word => return Ok(call.error(&[b"ERR Unsupported option ", word])?),
        }
    }
    let Conditions { nx, xx, gt, lt } = conditions;
    if nx && (xx || gt || lt) {
        return Err(Fault::NxAndOthers);
    }
    if gt && lt {
        return Err(Fault::GtAndLt);
    }
    let value = integer(request.at(2)).ok_or(Fault::NotInteger)?;
    let end = unit.moment(value).ok_or(Fault::Expire(command))?;
    let key = request.at(1);
    let Some(present) = call.shared.store.end(key) else { return Ok(call.reply.count(0)?) };
    let kept = match present {
        None => xx || gt,
        Some(present) => nx || (gt && end <= present) || (lt && end >= present),
    };
    if kept {
        return Ok(call.reply.count(0)?);
    }
    if end <= now() {
        call.shared.store.remove(key);
    } else {
        call.shared.store.set_end(key, Some(end));
    }
    Ok(call.reply.count(1)?)
}

pub(super) fn ttl<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    tell_end(call, request, |end| (end - now()).max(0).saturating_add(500) / 1000)
}

pub(super) fn pttl<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    tell_end(call, request, |end| (end - now()).max(0))
}

pub(super) fn expiretime<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    // The last of all moments is rounded up, too.
    tell_end(call, request, |end| ((end.unsigned_abs() + 500) / 1000) as i64)
}

pub(super) fn pexpiretime<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    tell_end(call, request, |end| end)
}

fn tell_end<M: Memory>(
    call: &mut Call<'_, '_, M>,
    request: Command<'_>,
    tell: impl FnOnce(i64) -> i64,
) -> Handled {
    let told = match call.shared.store.end(request.at(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(end)) => tell(end),
    };
    Ok(call.reply.integer(told)?)
}

pub(super) fn persist<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let key = request.at(1);
    let had = matches!(call.shared.store.end(key), Some(Some(_)));
    if had {
        call.shared.store.set_end(key, None);
    }
    Ok(call.reply.count(usize::from(had))?)
}
