//! Commands on the server and the whole database.
#![forbid(unsafe_code)]

use super::table::{COMMANDS, Spec, find};
use super::{Call, Fault, Handled, is};
use crate::kv::memory::Memory;
use crate::kv::numbers::Digits;
use crate::kv::resp::Command;
use crate::kv::store::Eviction;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn dbsize<M: Memory>(call: &mut Call<'_, '_, M>, _: Command<'_>) -> Handled {
    Ok(call.reply.count(call.shared.store.len())?)
}

/// `FLUSHDB` and `FLUSHALL`: there is one database. Everything goes at once, with `ASYNC` too.
pub(super) fn flush<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let word = request.at(1);
    match request.len() {
        1 => {}
        2 if is(word, "async") || is(word, "sync") => {}
        _ => return Err(Fault::Syntax),
    }
    call.shared.store.clear();
    Ok(call.reply.ok()?)
}

pub(super) fn time<M: Memory>(call: &mut Call<'_, '_, M>, _: Command<'_>) -> Handled {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    call.reply.array(2)?;
    call.reply.bulk(Digits::new(since.as_secs() as i64).as_slice())?;
    Ok(call.reply.bulk(Digits::new(i64::from(since.subsec_micros())).as_slice())?)
}

/// `COMMAND [COUNT | DOCS [name ...] | INFO [name ...] | LIST]`.
pub(super) fn command<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let Some(sub) = request.get(1) else {
        return every_command(call);
    };
    match sub {
        sub if is(sub, "count") && request.len() > 2 => Ok(call.wrong_arity("command|count")?),
        sub if is(sub, "count") => Ok(call.reply.count(COMMANDS.len())?),
        // Clients take their help texts from elsewhere then.
        sub if is(sub, "docs") => Ok(call.reply.map(0)?),
        sub if is(sub, "info") && request.len() == 2 => every_command(call),
        sub if is(sub, "info") => some_commands(call, request),
        sub if is(sub, "list") && request.len() == 2 => {
            call.reply.array(COMMANDS.len())?;
            COMMANDS.iter().try_for_each(|spec| Ok(call.reply.bulk(spec.name.as_bytes())?))
        }
        _ => Ok(call.unknown_subcommand(request, "COMMAND")?),
    }
}

fn every_command<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    call.reply.array(COMMANDS.len())?;
    COMMANDS.iter().try_for_each(|spec| describe(call, spec))
}

fn some_commands<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    call.reply.array(request.len() - 2)?;
    for name in request.iter_from(2) {
        match find(name) {
            Some(id) => describe(call, id.spec())?,
            None => call.reply.null()?,
        }
    }
    Ok(())
}

/// The ten fields of `COMMAND INFO`; the last four are not known here.
fn describe<M: Memory>(call: &mut Call<'_, '_, M>, spec: &Spec) -> Handled {
    call.reply.array(10)?;
    call.reply.bulk(spec.name.as_bytes())?;
    call.reply.integer(i64::from(spec.arity))?;
    call.reply.set(spec.flags.split(' ').count())?;
    for flag in spec.flags.split(' ') {
        call.reply.simple(flag)?;
    }
    let (first, last, step) = spec.keys;
    for position in [first, last, step] {
        call.reply.integer(i64::from(position))?;
    }
    call.reply.set(0)?;
    call.reply.array(0)?;
    call.reply.array(0)?;
    Ok(call.reply.array(0)?)
}

/// `MEMORY USAGE key [SAMPLES count]`, `MEMORY STATS`, `MEMORY DOCTOR`.
pub(super) fn memory<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let len = request.len();
    match request.at(1) {
        sub if is(sub, "usage") && len < 3 => Ok(call.wrong_arity("memory|usage")?),
        sub if is(sub, "usage") => usage(call, request),
        sub if is(sub, "stats") && len > 2 => Ok(call.wrong_arity("memory|stats")?),
        sub if is(sub, "stats") => stats(call),
        sub if is(sub, "doctor") && len > 2 => Ok(call.wrong_arity("memory|doctor")?),
        sub if is(sub, "doctor") => doctor(call),
        _ => Ok(call.unknown_subcommand(request, "MEMORY")?),
    }
}

fn usage<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() != 3 && !(request.len() == 5 && is(request.at(3), "samples")) {
        return Err(Fault::Syntax);
    }
    match call.shared.store.cost(request.at(2)) {
        Some(bytes) => Ok(call.reply.count(bytes)?),
        None => Ok(call.reply.null()?),
    }
}

/// The budget, then the figures of the pools.
fn stats<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let budget = call.shared.store.budget();
    let ours = [
        ("peak.allocated", budget.peak),
        ("total.allocated", budget.used),
        ("limit", budget.limit),
        ("keys.count", call.shared.store.len()),
    ];
    let mut pools = 0;
    call.observe(&mut |_, _| pools += 1);
    let mut text = call.text();
    let mut written = Ok(());
    call.observe(&mut |name, value| {
        let line = std::fmt::Write::write_fmt(&mut text, format_args!("{name} {value}\n"));
        written = written.and(line);
    });
    written?;
    call.reply.map(ours.len() + pools)?;
    for (name, value) in ours {
        call.reply.bulk(name.as_bytes())?;
        call.reply.count(value)?;
    }
    for line in text.as_slice().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b' ').unwrap_or(0));
        call.reply.bulk(name)?;
        call.reply.raw_integer(&value[1..])?;
    }
    Ok(())
}

/// What stands out, and what to do about it.
fn doctor<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let budget = call.shared.store.budget();
    let (mut live, mut held) = (0, 0);
    call.observe(&mut |name, value| match name {
        "data_live_bytes" => live = value,
        "data_held_bytes" => held = value,
        _ => {}
    });
    let full = budget.used > budget.limit / 10 * 9;
    let evicts = call.shared.settings.eviction != Eviction::None;
    let text: &[u8] = match () {
        () if full && evicts => {
            b"Sam, more than nine tenths of the memory for data are in use: keys that were not used \
              for long make room. If they are missed, raise --memory.\n"
        }
        () if full => {
            b"Sam, more than nine tenths of the memory for data are in use: writes will soon be \
              refused. Raise --memory, delete keys, or let them make room by --eviction lru.\n"
        }
        () if held > 2 * live + SCATTERED => {
            b"Sam, the heap holds more than twice the memory that data needs: what is left of a \
              larger set of keys lies scattered. It is used again for new data.\n"
        }
        () => b"Hi Sam, I can't find any memory issue in your instance.\n",
    };
    Ok(call.reply.verbatim(text)?)
}

/// Bytes that the heap may always hold beyond what is needed: spans kept for the next ones.
const SCATTERED: u64 = 16 << 20;
