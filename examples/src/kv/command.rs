//! The commands. Each handler appends exactly one reply; texts are those of Redis 7.
#![forbid(unsafe_code)]

use super::buffer::Buffers;
use super::info;
use super::memory::{Batch, Inbox, List, Memory, Scratch, ScratchOf};
use super::reply::{OutOfMemory, Reply};
use super::resp::Command;
use super::settings::Settings;
use super::store::Store;
use super::{glob, stats::Stats};

/// The replies of a strategy's batch.
pub type RepliesOf<'b, M> = <<M as Memory>::Batch as Batch>::Replies<'b>;

/// One request, and all that its handler may use.
pub struct Call<'a, 'b, M: Memory> {
    /// The request's words; there is at least a name.
    pub request: Command<'a>,
    /// Its reply.
    pub reply: Reply<'a, RepliesOf<'b, M>>,
    /// What becomes of the connection after it.
    pub flow: Flow,
    /// Memory for what the handler needs in between.
    pub scratch: ScratchOf<'b, M>,
    /// The data.
    pub store: &'a mut Store<M::Data>,
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

/// Why a handler did not finish its reply. What it has written is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An error reply is due.
    Error(&'static str),
    /// There was no memory to write the reply to.
    Reply,
}

impl From<OutOfMemory> for Fault {
    fn from(_: OutOfMemory) -> Self {
        Self::Reply
    }
}

pub(super) type Handled = Result<(), Fault>;

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

impl<M: Memory> Call<'_, '_, M> {
    /// Executes the request.
    ///
    /// # Errors
    /// [`OutOfMemory`] if not even an error reply could be appended.
    pub fn execute(&mut self) -> Result<(), OutOfMemory> {
        self.stats.commands += 1;
        let mark = self.reply.mark();
        let fault = match self.dispatch() {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        self.reply.back_to(mark);
        match fault {
            Fault::Error(text) => self.error(&[text.as_bytes()]),
            Fault::Reply => self.error(&[b"OOM no memory for the reply"]),
        }
    }

    fn dispatch(&mut self) -> Handled {
        let Some(spec) = find(self.request.at(0)) else {
            return Ok(self.unknown_command()?);
        };
        let (least, most) = spec.words;
        if self.request.len() < least || self.request.len() > most {
            return Ok(self.wrong_arity(spec.name)?);
        }
        match spec.id {
            Name::Get => get(self),
            Name::Set => set(self),
            Name::Del => del(self),
            Name::Ping => ping(self),
            Name::Echo => Ok(self.reply.bulk(self.request.at(1))?),
            Name::Info => info::info(self),
            Name::Config => config(self),
            Name::Command => command(self),
            Name::Quit => {
                self.flow = Flow::Close;
                Ok(self.reply.ok()?)
            }
        }
    }

    /// An error reply, counted.
    pub(super) fn error(&mut self, parts: &[&[u8]]) -> Result<(), OutOfMemory> {
        self.stats.errors += 1;
        self.reply.error(parts)
    }

    pub(super) fn wrong_arity(&mut self, name: &str) -> Result<(), OutOfMemory> {
        self.error(&[b"ERR wrong number of arguments for '", name.as_bytes(), b"' command"])
    }

    #[cold]
    fn unknown_command(&mut self) -> Result<(), OutOfMemory> {
        let mut args = self.scratch.list(0);
        for word in self.request.iter_from(1) {
            if args.as_slice().len() >= QUOTED {
                break;
            }
            let quoted = c_string(word, QUOTED - args.as_slice().len());
            args.extend(b"'")?;
            args.extend(quoted)?;
            args.extend(b"' ")?;
        }
        let name = c_string(self.request.at(0), QUOTED);
        let between = b"', with args beginning with: ";
        self.error(&[b"ERR unknown command '", name, between, args.as_slice()])
    }

    pub(super) fn unknown_subcommand(&mut self, parent: &str) -> Result<(), OutOfMemory> {
        let sub = c_string(self.request.at(1), QUOTED);
        self.error(&[b"ERR unknown subcommand '", sub, b"'. Try ", parent.as_bytes(), b" HELP."])
    }

    /// The figures of the pools, as `INFO memory` shows them.
    pub(super) fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        self.inbox.observe(visit);
        self.scratch.observe(visit);
        let (buffers, bytes) = self.outbox.live();
        visit("outbox_buffers", buffers as u64);
        visit("outbox_bytes", bytes as u64);
    }
}

fn get<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    match call.store.get(call.request.at(1)) {
        Some(value) => {
            call.stats.hits += 1;
            Ok(call.reply.bulk(value)?)
        }
        None => {
            call.stats.misses += 1;
            Ok(call.reply.null()?)
        }
    }
}

fn set<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    if call.request.len() > 3 {
        return Err(Fault::Error("ERR syntax error"));
    }
    match call.store.set(call.request.at(1), call.request.at(2)) {
        Ok(()) => Ok(call.reply.ok()?),
        Err(OutOfMemory) => {
            Err(Fault::Error("OOM command not allowed when used memory > 'maxmemory'."))
        }
    }
}

fn del<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let store = &mut *call.store;
    let removed = call.request.iter_from(1).filter(|key| store.remove(key)).count();
    Ok(call.reply.count(removed)?)
}

fn ping<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    match call.request.get(1) {
        Some(message) => Ok(call.reply.bulk(message)?),
        None => Ok(call.reply.simple("PONG")?),
    }
}

/// `COMMAND`, for clients that ask about commands when they connect: there is nothing to tell.
fn command<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let Some(sub) = call.request.get(1) else {
        return Ok(call.reply.array(0)?);
    };
    if sub.eq_ignore_ascii_case(b"count") {
        if call.request.len() > 2 {
            return Ok(call.wrong_arity("command|count")?);
        }
        return Ok(call.reply.count(COMMANDS.len())?);
    }
    if sub.eq_ignore_ascii_case(b"docs") {
        return Ok(call.reply.map(0)?);
    }
    Ok(call.unknown_subcommand("COMMAND")?)
}

fn config<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    if !call.request.at(1).eq_ignore_ascii_case(b"get") {
        return Ok(call.unknown_subcommand("CONFIG")?);
    }
    if call.request.len() < 3 {
        return Ok(call.wrong_arity("config|get")?);
    }
    config_get(call)
}

fn config_get<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let parameters = call.settings.parameters();
    let request = call.request;
    let found = || {
        let asked = |name: &str| {
            let mut patterns = request.iter_from(2);
            patterns.find(|pattern| glob::matches(pattern, name.as_bytes()))
        };
        parameters.iter().filter_map(move |(name, value)| Some((asked(name)?, name, value)))
    };
    call.reply.map(found().count())?;
    for (pattern, name, value) in found() {
        // Redis repeats a plain name as it was spelled.
        let plain = !glob::is_pattern(pattern);
        call.reply.bulk(if plain { pattern } else { name.as_bytes() })?;
        call.reply.bulk(value.as_bytes())?;
    }
    Ok(())
}

/// Bytes of a client's word, and of all its arguments together, that an error repeats.
const QUOTED: usize = 128;

/// What `%.*s` prints of `bytes`: at most `max`, and nothing behind a zero.
fn c_string(bytes: &[u8], max: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(max)];
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}
