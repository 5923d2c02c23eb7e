//! The commands. Each handler appends exactly one reply; texts are those of Redis 7.
#![forbid(unsafe_code)]

use super::buffer::Buffers;
use super::info;
use super::memory::{Inbox, Memory};
use super::reply::{OutOfMemory, Reply};
use super::resp::Command;
use super::settings::Settings;
use super::store::Store;
use super::{glob, stats::Stats};

/// What a handler may use.
pub struct Context<'a, M: Memory> {
    /// The data.
    pub store: &'a mut Store<M>,
    /// Counters.
    pub stats: &'a mut Stats,
    /// What the server was started with.
    pub settings: &'a Settings,
    /// The receiving side, for its figures.
    pub inbox: &'a M::Inbox,
    /// Where replies wait that a socket did not take, for its figures.
    pub outbox: &'a Buffers<M::Source>,
}

/// What becomes of the connection after the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It is closed once the reply is sent.
    Close,
}

type Handled = Result<(), OutOfMemory>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Get,
    Set,
    Del,
    Ping,
    Echo,
    Info,
    Config,
    Command,
    Quit,
}

/// A command and how many words a request for it has, its name included.
struct Spec {
    name: &'static str,
    words: (usize, usize),
    id: Name,
}

const ANY: usize = usize::MAX;

/// The most frequent first: they are looked through in order.
const COMMANDS: [Spec; 9] = [
    Spec { name: "get", words: (2, 2), id: Name::Get },
    Spec { name: "set", words: (3, ANY), id: Name::Set },
    Spec { name: "del", words: (2, ANY), id: Name::Del },
    Spec { name: "ping", words: (1, 2), id: Name::Ping },
    Spec { name: "echo", words: (2, 2), id: Name::Echo },
    Spec { name: "info", words: (1, ANY), id: Name::Info },
    Spec { name: "config", words: (2, ANY), id: Name::Config },
    Spec { name: "command", words: (1, ANY), id: Name::Command },
    Spec { name: "quit", words: (1, ANY), id: Name::Quit },
];

fn find(name: &[u8]) -> Option<&'static Spec> {
    COMMANDS.iter().find(|spec| name.eq_ignore_ascii_case(spec.name.as_bytes()))
}

/// Executes one request, which has at least a name, and appends its reply.
///
/// # Errors
/// [`OutOfMemory`] if the reply could not be appended; part of it may have been.
pub fn execute<M: Memory>(
    cx: &mut Context<'_, M>,
    request: Command<'_>,
    reply: &mut impl Reply,
) -> Result<Flow, OutOfMemory> {
    cx.stats.commands += 1;
    let Some(spec) = find(&request[0]) else {
        return unknown_command(cx, request, reply).map(|()| Flow::Continue);
    };
    let (least, most) = spec.words;
    if request.len() < least || request.len() > most {
        return wrong_arity(cx, spec.name, reply).map(|()| Flow::Continue);
    }
    match spec.id {
        Name::Get => get(cx, &request[1], reply),
        Name::Set => set(cx, request, reply),
        Name::Del => del(cx, request, reply),
        Name::Ping => ping(request, reply),
        Name::Echo => reply.bulk(&request[1]),
        Name::Info => info::info(cx, request, reply),
        Name::Config => config(cx, request, reply),
        Name::Command => command(cx, request, reply),
        Name::Quit => return reply.simple("OK").map(|()| Flow::Close),
    }
    .map(|()| Flow::Continue)
}

fn get<M: Memory>(cx: &mut Context<'_, M>, key: &[u8], reply: &mut impl Reply) -> Handled {
    match cx.store.get(key) {
        Some(value) => {
            cx.stats.hits += 1;
            reply.bulk(value)
        }
        None => {
            cx.stats.misses += 1;
            reply.null()
        }
    }
}

fn set<M: Memory>(
    cx: &mut Context<'_, M>,
    request: Command<'_>,
    reply: &mut impl Reply,
) -> Handled {
    if request.len() > 3 {
        return error(cx, b"ERR syntax error", reply);
    }
    match cx.store.set(&request[1], &request[2]) {
        Ok(()) => reply.simple("OK"),
        Err(OutOfMemory) => {
            error(cx, b"OOM command not allowed when used memory > 'maxmemory'.", reply)
        }
    }
}

fn del<M: Memory>(
    cx: &mut Context<'_, M>,
    request: Command<'_>,
    reply: &mut impl Reply,
) -> Handled {
    let removed = request.iter_from(1).filter(|key| cx.store.remove(key)).count();
    reply.integer(removed as u64)
}

fn ping(request: Command<'_>, reply: &mut impl Reply) -> Handled {
    match request.get(1) {
        Some(message) => reply.bulk(message),
        None => reply.simple("PONG"),
    }
}

/// `COMMAND`, for clients that ask about commands when they connect: there is nothing to tell.
fn command<M: Memory>(
    cx: &mut Context<'_, M>,
    request: Command<'_>,
    reply: &mut impl Reply,
) -> Handled {
    let Some(sub) = request.get(1) else {
        return reply.array(0);
    };
    match sub.to_ascii_lowercase().as_slice() {
        b"count" if request.len() == 2 => reply.integer(COMMANDS.len() as u64),
        b"count" => wrong_arity(cx, "command|count", reply),
        b"docs" => reply.array(0),
        _ => unknown_subcommand(cx, sub, "COMMAND", reply),
    }
}

fn config<M: Memory>(
    cx: &mut Context<'_, M>,
    request: Command<'_>,
    reply: &mut impl Reply,
) -> Handled {
    if !request[1].eq_ignore_ascii_case(b"get") {
        return unknown_subcommand(cx, &request[1], "CONFIG", reply);
    }
    if request.len() < 3 {
        return wrong_arity(cx, "config|get", reply);
    }
    config_get(cx, request, reply)
}

fn config_get<M: Memory>(
    cx: &Context<'_, M>,
    request: Command<'_>,
    reply: &mut impl Reply,
) -> Handled {
    let parameters = cx.settings.parameters();
    let found = || {
        let asked = |name: &str| {
            let mut patterns = request.iter_from(2);
            patterns.find(|pattern| glob::matches(pattern, name.as_bytes()))
        };
        parameters.iter().filter_map(move |(name, value)| Some((asked(name)?, name, value)))
    };
    reply.array(2 * found().count())?;
    for (pattern, name, value) in found() {
        // Redis repeats a plain name as it was spelled.
        let plain = !glob::is_pattern(pattern);
        reply.bulk(if plain { pattern } else { name.as_bytes() })?;
        reply.bulk(value.as_bytes())?;
    }
    Ok(())
}

/// An error reply, counted.
///
/// # Errors
/// [`OutOfMemory`] if it could not be appended.
pub fn error<M: Memory>(cx: &mut Context<'_, M>, text: &[u8], reply: &mut impl Reply) -> Handled {
    cx.stats.errors += 1;
    reply.error(text)
}

fn wrong_arity<M: Memory>(cx: &mut Context<'_, M>, name: &str, reply: &mut impl Reply) -> Handled {
    let text = format!("ERR wrong number of arguments for '{name}' command");
    error(cx, text.as_bytes(), reply)
}

/// Bytes of a client's word, and of all its arguments together, that an error repeats.
const QUOTED: usize = 128;

fn unknown_command<M: Memory>(
    cx: &mut Context<'_, M>,
    request: Command<'_>,
    reply: &mut impl Reply,
) -> Handled {
    let mut args = Vec::with_capacity(2 * QUOTED);
    for word in request.iter_from(1) {
        if args.len() >= QUOTED {
            break;
        }
        let quoted = c_string(word, QUOTED - args.len());
        args.extend([b"'", quoted, b"' "].concat());
    }
    let name = c_string(&request[0], QUOTED);
    let text = [b"ERR unknown command '", name, b"', with args beginning with: ", &args].concat();
    error(cx, &text, reply)
}

fn unknown_subcommand<M: Memory>(
    cx: &mut Context<'_, M>,
    sub: &[u8],
    parent: &str,
    reply: &mut impl Reply,
) -> Handled {
    let sub = c_string(sub, QUOTED);
    let text =
        [b"ERR unknown subcommand '", sub, b"'. Try ", parent.as_bytes(), b" HELP."].concat();
    error(cx, &text, reply)
}

/// What `%.*s` prints of `bytes`: at most `max`, and nothing behind a zero.
fn c_string(bytes: &[u8], max: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(max)];
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// The figures of the pools, as `INFO memory` shows them.
pub(super) fn observe<M: Memory>(cx: &Context<'_, M>, visit: &mut dyn FnMut(&str, u64)) {
    cx.inbox.observe(visit);
    let (buffers, bytes) = cx.outbox.live();
    visit("outbox_buffers", buffers as u64);
    visit("outbox_bytes", bytes as u64);
}
