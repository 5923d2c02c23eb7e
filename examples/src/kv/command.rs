//! The commands. Each handler appends exactly one reply; texts are those of Redis 7.
#![forbid(unsafe_code)]

mod config;
mod expiry;
mod hashes;
mod keys;
mod lists;
mod server;
mod session;
mod sets;
mod sorted;
mod strings;
mod table;

pub(in crate::kv) use keys::copy_replaces;
pub(in crate::kv) use table::{Over, over};

use super::clients::{Client, Clients};
use super::crew::Share;
use super::crew::ledger::Terms;
use super::crew::post::Post;
use super::crew::together::Verdict;
use super::glob::TooCostly;
use super::memory::{Batch, Data, Figures, List, Memory, Scratch, ScratchOf};
use super::outbox::{Outbox, Outboxes};
use super::reply::{OutOfMemory, Reply};
use super::resp::Command;
use super::settings::Settings;
use super::stats::Stats;
use super::store::{Store, WORD};
use super::values::WrongType;
use pool_core::PageSource;
use std::fmt::{self, Write};
use std::rc::Rc;
use thiserror::Error;

/// The replies of a strategy's batch.
pub type RepliesOf<'b, M> = <<M as Memory>::Batch as Batch>::Replies<'b>;

/// What the connections of one thread share, and commands work on.
pub struct Shared<M: Memory> {
    /// The data.
    pub store: Store<M::Data>,
    /// Counters.
    pub stats: Stats,
    /// What the server was started with, as far as it was not changed since.
    pub settings: Settings,
    /// Bytes of data that it was started with, on all threads: there cannot be more.
    pub most_memory: usize,
    /// Who is connected.
    pub clients: Clients<M::Table<Client>>,
    /// Where replies wait that a socket did not take.
    pub outbox: Outboxes<M::Source, M::Table<Outbox<M::Source>>>,
    /// Which of the threads this is.
    pub share: Share,
    /// How replies of others are kept, if there are any.
    pub terms: Option<Rc<Terms>>,
    /// The way to the others, if there are any.
    pub post: Option<Box<Post<M::Mail>>>,
}

impl<M: Memory> Shared<M> {
    /// The figures of unread replies, and of the pages beneath everything.
    pub(super) fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        let (buffers, bytes, evictions) = self.outbox.figures();
        visit("outbox_buffers", buffers as u64);
        visit("outbox_bytes", bytes as u64);
        visit("outbox_evictions", evictions);
        for (name, value) in self.outbox.source().snapshot().fields() {
            visit(name, value);
        }
    }
}

/// All that handlers of requests may use: one value serves those of a batch.
pub struct Call<'a, 'b, M: Memory> {
    /// Where replies go.
    pub reply: Reply<'a, RepliesOf<'b, M>>,
    /// What becomes of the connection after the request.
    pub flow: Flow,
    /// The connection's number.
    pub client: u64,
    /// Memory for what the handler needs in between.
    pub scratch: ScratchOf<'b, M>,
    /// What all requests share.
    pub shared: &'a mut Shared<M>,
    /// The receiving side, for its figures.
    pub inbox: &'a dyn Figures,
}

/// What becomes of the connection after the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It goes on when others have had their turn.
    Rest,
    /// It is closed once the reply is sent.
    Close,
}

/// Why a handler did not finish its reply. What it has written is taken back, and this is the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::kv) enum Fault {
    #[error("OOM no memory for the reply")]
    Reply,
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    Budget,
    #[error("ERR syntax error")]
    Syntax,
    #[error(transparent)]
    WrongType(#[from] WrongType),
    #[error(transparent)]
    Pattern(#[from] TooCostly),
    #[error("OOM no memory for the command")]
    Scratch,
    #[error("ERR value is out of range, value must between {0} and {1}")]
    Between(i64, i64),
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR index out of range")]
    Index,
    #[error("ERR hash value is not an integer")]
    HashNotInteger,
    #[error("ERR resulting score is not a number (NaN)")]
    NotANumber,
    #[error("ERR XX and NX options at the same time are not compatible")]
    NxAndXx,
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    GtLtNx,
    #[error("ERR INCR option supports a single increment-element pair")]
    OneIncrement,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR increment would produce NaN or Infinity")]
    NotFinite,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    TooLong,
    #[error("ERR offset is out of range")]
    Offset,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR source and destination objects are the same")]
    SameKey,
    #[error("ERR DB index is out of range")]
    Database,
    #[error("ERR invalid cursor")]
    Cursor,
    #[error("ERR invalid expire time in '{0}' command")]
    Expire(&'static str),
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    NxAndOthers,
    #[error("ERR GT and LT options at the same time are not compatible")]
    GtAndLt,
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you \
         sure your configuration is correct?"
    )]
    NoPassword,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPassword,
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNumber,
    #[error("NOPROTO unsupported protocol version")]
    NoProtocol,
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    #[error("ERR No such client")]
    NoSuchClient,
    #[error("ERR client-id should be greater than 0")]
    ClientId,
}

impl From<OutOfMemory> for Fault {
    fn from(_: OutOfMemory) -> Self {
        Self::Reply
    }
}

impl From<fmt::Error> for Fault {
    /// No `Display` of ours fails, so it was the text that did.
    fn from(_: fmt::Error) -> Self {
        Self::Reply
    }
}

/// What is told to a client whose command over several threads ended so.
pub(in crate::kv) const fn fault_of(verdict: Verdict) -> Fault {
    match verdict {
        Verdict::NoSuchKey => Fault::NoSuchKey,
        Verdict::TooLong => Fault::Scratch,
        _ => Fault::Budget,
    }
}

pub(super) type Handled = Result<(), Fault>;

/// A text that is written into a list.
pub(super) struct Text<L>(L);

impl<L: List<u8>> Text<L> {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<L: List<u8>> Write for Text<L> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Whether a client's word is this, in upper or lower case.
pub(in crate::kv) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// The scratch texts of a strategy.
pub(super) type TextOf<'b, M> = Text<<ScratchOf<'b, M> as Scratch>::List<u8>>;

impl<'b, M: Memory> Call<'_, 'b, M> {
    /// Executes a request, which has at least a name.
    ///
    /// # Errors
    /// [`OutOfMemory`] if not even an error reply could be appended.
    #[inline(never)]
    pub fn execute(&mut self, request: Command<'_>) -> Result<(), OutOfMemory> {
        self.execute_here(request)
    }

    /// [`execute`](Self::execute) without a call, for the one place where nearly all requests pass.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub fn execute_here(&mut self, request: Command<'_>) -> Result<(), OutOfMemory> {
        self.shared.stats.commands += 1;
        let mark = self.reply.mark();
        let Some(id) = table::find_named(request) else {
            return self.unknown_command(request);
        };
        let spec = id.spec();
        if !spec.fits(request.len()) {
            return self.wrong_arity(spec.name);
        }
        if spec.grows() && !self.has_room(request) {
            return self.refuse(Fault::Budget, mark);
        }
        match table::dispatch(id, self, request) {
            Ok(()) => Ok(()),
            Err(fault) => self.refuse(fault, mark),
        }
    }

    /// Whether what the request brings can be stored, after others have made room if they must.
    #[inline]
    fn has_room(&mut self, request: Command<'_>) -> bool {
        // As a rule there is room for twice what was received, as no block is twice as long as what it is for, and
        // nothing needs to be counted.
        let most = 2 * (request.bytes_at_most() + request.len() * WORD);
        self.shared.store.room().has(most) || self.make_room(request)
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, request: Command<'_>) -> bool {
        let words = request.iter_from(1).map(<[u8]>::len);
        self.shared.store.ensure(Store::<M::Data>::need(words))
    }

    /// Replaces what was written after `mark` by an error.
    #[cold]
    fn refuse(&mut self, fault: Fault, mark: usize) -> Result<(), OutOfMemory> {
        self.reply.back_to(mark);
        if matches!(fault, Fault::Reply | Fault::Scratch) && self.flow == Flow::Continue {
            // It may have taken all there is, and long: with the batch that goes back.
            self.flow = Flow::Rest;
        }
        let mut text = self.text();
        let _ = write!(text, "{fault}");
        self.error(&[text.as_slice()])
    }

    /// An empty text.
    pub(super) fn text(&self) -> TextOf<'b, M> {
        Text(self.scratch.list(0))
    }

    /// An error reply, counted.
    #[cold]
    pub(super) fn error(&mut self, parts: &[&[u8]]) -> Result<(), OutOfMemory> {
        self.shared.stats.errors += 1;
        self.reply.error(parts)
    }

    #[cold]
    pub(super) fn wrong_arity(&mut self, name: &str) -> Result<(), OutOfMemory> {
        self.error(&[b"ERR wrong number of arguments for '", name.as_bytes(), b"' command"])
    }

    #[cold]
    fn unknown_command(&mut self, request: Command<'_>) -> Result<(), OutOfMemory> {
        let mut args = self.scratch.list(0);
        for word in request.iter_from(1) {
            if args.as_slice().len() >= QUOTED {
                break;
            }
            let quoted = c_string(word, QUOTED - args.as_slice().len());
            args.extend(b"'")?;
            args.extend(quoted)?;
            args.extend(b"' ")?;
        }
        let name = c_string(request.at(0), QUOTED);
        let between = b"', with args beginning with: ";
        self.error(&[b"ERR unknown command '", name, between, args.as_slice()])
    }

    #[cold]
    pub(super) fn unknown_subcommand(
        &mut self,
        request: Command<'_>,
        parent: &str,
    ) -> Result<(), OutOfMemory> {
        let sub = c_string(request.at(1), QUOTED);
        let parent = parent.as_bytes();
        self.error(&[b"ERR unknown subcommand '", sub, b"'. Try ", parent, b" HELP."])
    }

    /// The figures of the pools, as `INFO memory` shows them.
    pub(super) fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        self.shared.store.room().alloc().observe(visit);
        self.inbox.observe(visit);
        self.scratch.observe(visit);
        self.shared.observe(visit);
    }
}

/// Bytes of a client's word, and of all its arguments together, that an error repeats.
const QUOTED: usize = 128;

/// What `%.*s` prints of `bytes`: at most `max`, and nothing behind a zero.
fn c_string(bytes: &[u8], max: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(max)];
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}
