//! All commands: names, arities, flags, positions of keys, handlers.
#![forbid(unsafe_code)]

use super::{
    Call, Handled, config, expiry, hashes, keys, lists, server, session, sets, sorted, strings,
};
use crate::kv::crew::gather::Finish;
use crate::kv::info;
use crate::kv::memory::Memory;
use crate::kv::resp::Command;
use std::marker::PhantomData;

/// What is known of a command, as `COMMAND INFO` tells it.
#[derive(Debug)]
pub(in crate::kv) struct Spec {
    pub name: &'static str,
    /// Words of a request, the name included; below 0: at least so many.
    pub arity: i8,
    pub flags: &'static str,
    /// The first key, the last (from behind if below 0), and the step; zeros for none.
    pub keys: (i8, i8, i8),
    /// Whether it may need memory for data.
    grows: bool,
    /// The arity as a range.
    words: (usize, usize),
}

impl Spec {
    /// Whether the command may need memory for data.
    #[inline]
    pub(super) const fn grows(&self) -> bool {
        self.grows
    }

    /// Whether a request of the command has so many words.
    #[inline]
    pub(super) const fn fits(&self, words: usize) -> bool {
        let (least, most) = self.words;
        least <= words && words <= most
    }
}

/// Whether `flags` say that the command is not to be executed without memory.
const fn denies_oom(flags: &str) -> bool {
    let (flags, word) = (flags.as_bytes(), b"denyoom");
    let mut at = 0;
    while at + word.len() <= flags.len() {
        let mut same = 0;
        while same < word.len() && flags[at + same] == word[same] {
            same += 1;
        }
        if same == word.len() {
            return true;
        }
        at += 1;
    }
    false
}

/// The least and the most words of a request.
const fn words(arity: i8) -> (usize, usize) {
    let least = arity.unsigned_abs() as usize;
    (least, if arity < 0 { usize::MAX } else { least })
}

macro_rules! commands {
    ($($id:ident $name:literal $arity:literal $flags:literal $keys:tt $handler:path;)*) => {
        /// A command: its place in [`COMMANDS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(in crate::kv) enum Id { $($id),* }

        const IDS: &[Id] = &[$(Id::$id),*];

        /// All of them.
        pub(in crate::kv) static COMMANDS: [Spec; IDS.len()] =
            [$(Spec {
                name: $name,
                arity: $arity,
                flags: $flags,
                keys: $keys,
                grows: denies_oom($flags),
                words: words($arity),
            }),*];

        impl<M: Memory> Handlers<M> {
            /// By the commands' places.
            const ALL: [Handler<M>; IDS.len()] = [$($handler),*];
        }
    };
}

/// What executes a request of a command.
type Handler<M> = fn(&mut Call<'_, '_, M>, Command<'_>) -> Handled;

/// The handlers of all commands.
struct Handlers<M>(PhantomData<M>);

/// Calls the handler of a command: the two most frequent ones are here, so that what surrounds them stays small
/// enough to be kept in registers.
#[inline(always)]
pub(super) fn dispatch<M: Memory>(
    id: Id,
    call: &mut Call<'_, '_, M>,
    request: Command<'_>,
) -> Handled {
    match id {
        Id::Get => strings::get(call, request),
        Id::Set => strings::set(call, request),
        _ => Handlers::ALL[id as usize](call, request),
    }
}

commands! {
    Get "get" 2 "readonly fast" (1, 1, 1) strings::get;
    Set "set" -3 "write denyoom" (1, 1, 1) strings::set;
    SetNx "setnx" 3 "write denyoom fast" (1, 1, 1) strings::setnx;
    SetEx "setex" 4 "write denyoom" (1, 1, 1) strings::setex;
    PSetEx "psetex" 4 "write denyoom" (1, 1, 1) strings::psetex;
    GetSet "getset" 3 "write denyoom fast" (1, 1, 1) strings::getset;
    GetDel "getdel" 2 "write fast" (1, 1, 1) strings::getdel;
    GetEx "getex" -2 "write fast" (1, 1, 1) strings::getex;
    MGet "mget" -2 "readonly fast" (1, -1, 1) strings::mget;
    MSet "mset" -3 "write denyoom" (1, -1, 2) strings::mset;
    MSetNx "msetnx" -3 "write denyoom" (1, -1, 2) strings::msetnx;
    Append "append" 3 "write denyoom fast" (1, 1, 1) strings::append;
    StrLen "strlen" 2 "readonly fast" (1, 1, 1) strings::strlen;
    SetRange "setrange" 4 "write denyoom" (1, 1, 1) strings::setrange;
    GetRange "getrange" 4 "readonly" (1, 1, 1) strings::getrange;
    SubStr "substr" 4 "readonly" (1, 1, 1) strings::getrange;
    Incr "incr" 2 "write denyoom fast" (1, 1, 1) strings::incr;
    Decr "decr" 2 "write denyoom fast" (1, 1, 1) strings::decr;
    IncrBy "incrby" 3 "write denyoom fast" (1, 1, 1) strings::incrby;
    DecrBy "decrby" 3 "write denyoom fast" (1, 1, 1) strings::decrby;
    IncrByFloat "incrbyfloat" 3 "write denyoom fast" (1, 1, 1) strings::incrbyfloat;
    Del "del" -2 "write" (1, -1, 1) keys::del;
    Unlink "unlink" -2 "write fast" (1, -1, 1) keys::del;
    Exists "exists" -2 "readonly fast" (1, -1, 1) keys::exists;
    Touch "touch" -2 "readonly fast" (1, -1, 1) keys::exists;
    Type "type" 2 "readonly fast" (1, 1, 1) keys::kind;
    Keys "keys" 2 "readonly" (0, 0, 0) keys::keys;
    Scan "scan" -2 "readonly" (0, 0, 0) keys::scan;
    RandomKey "randomkey" 1 "readonly" (0, 0, 0) keys::randomkey;
    Rename "rename" 3 "write" (1, 2, 1) keys::rename;
    RenameNx "renamenx" 3 "write fast" (1, 2, 1) keys::renamenx;
    Copy "copy" -3 "write denyoom" (1, 2, 1) keys::copy;
    Object "object" -2 "readonly" (2, 2, 1) keys::object;
    Expire "expire" -3 "write fast" (1, 1, 1) expiry::expire;
    PExpire "pexpire" -3 "write fast" (1, 1, 1) expiry::pexpire;
    ExpireAt "expireat" -3 "write fast" (1, 1, 1) expiry::expireat;
    PExpireAt "pexpireat" -3 "write fast" (1, 1, 1) expiry::pexpireat;
    Ttl "ttl" 2 "readonly fast" (1, 1, 1) expiry::ttl;
    PTtl "pttl" 2 "readonly fast" (1, 1, 1) expiry::pttl;
    ExpireTime "expiretime" 2 "readonly fast" (1, 1, 1) expiry::expiretime;
    PExpireTime "pexpiretime" 2 "readonly fast" (1, 1, 1) expiry::pexpiretime;
    Persist "persist" 2 "write fast" (1, 1, 1) expiry::persist;
    LPush "lpush" -3 "write denyoom fast" (1, 1, 1) lists::lpush;
    RPush "rpush" -3 "write denyoom fast" (1, 1, 1) lists::rpush;
    LPushX "lpushx" -3 "write denyoom fast" (1, 1, 1) lists::lpushx;
    RPushX "rpushx" -3 "write denyoom fast" (1, 1, 1) lists::rpushx;
    LPop "lpop" -2 "write fast" (1, 1, 1) lists::lpop;
    RPop "rpop" -2 "write fast" (1, 1, 1) lists::rpop;
    LLen "llen" 2 "readonly fast" (1, 1, 1) lists::llen;
    LRange "lrange" 4 "readonly" (1, 1, 1) lists::lrange;
    LIndex "lindex" 3 "readonly" (1, 1, 1) lists::lindex;
    LSet "lset" 4 "write denyoom" (1, 1, 1) lists::lset;
    LRem "lrem" 4 "write" (1, 1, 1) lists::lrem;
    LTrim "ltrim" 4 "write" (1, 1, 1) lists::ltrim;
    HSet "hset" -4 "write denyoom fast" (1, 1, 1) hashes::hset;
    HMSet "hmset" -4 "write denyoom fast" (1, 1, 1) hashes::hmset;
    HGet "hget" 3 "readonly fast" (1, 1, 1) hashes::hget;
    HMGet "hmget" -3 "readonly fast" (1, 1, 1) hashes::hmget;
    HGetAll "hgetall" 2 "readonly" (1, 1, 1) hashes::hgetall;
    HDel "hdel" -3 "write fast" (1, 1, 1) hashes::hdel;
    HLen "hlen" 2 "readonly fast" (1, 1, 1) hashes::hlen;
    HExists "hexists" 3 "readonly fast" (1, 1, 1) hashes::hexists;
    HKeys "hkeys" 2 "readonly" (1, 1, 1) hashes::hkeys;
    HVals "hvals" 2 "readonly" (1, 1, 1) hashes::hvals;
    HIncrBy "hincrby" 4 "write denyoom fast" (1, 1, 1) hashes::hincrby;
    HScan "hscan" -3 "readonly" (1, 1, 1) hashes::hscan;
    SAdd "sadd" -3 "write denyoom fast" (1, 1, 1) sets::sadd;
    SRem "srem" -3 "write fast" (1, 1, 1) sets::srem;
    SMembers "smembers" 2 "readonly" (1, 1, 1) sets::smembers;
    SIsMember "sismember" 3 "readonly fast" (1, 1, 1) sets::sismember;
    SCard "scard" 2 "readonly fast" (1, 1, 1) sets::scard;
    SPop "spop" -2 "write fast" (1, 1, 1) sets::spop;
    SRandMember "srandmember" -2 "readonly" (1, 1, 1) sets::srandmember;
    SScan "sscan" -3 "readonly" (1, 1, 1) sets::sscan;
    ZAdd "zadd" -4 "write denyoom fast" (1, 1, 1) sorted::zadd;
    ZPopMin "zpopmin" -2 "write fast" (1, 1, 1) sorted::zpopmin;
    ZRange "zrange" -4 "readonly" (1, 1, 1) sorted::zrange;
    ZRevRange "zrevrange" -4 "readonly" (1, 1, 1) sorted::zrevrange;
    ZScore "zscore" 3 "readonly fast" (1, 1, 1) sorted::zscore;
    ZCard "zcard" 2 "readonly fast" (1, 1, 1) sorted::zcard;
    ZRem "zrem" -3 "write fast" (1, 1, 1) sorted::zrem;
    Ping "ping" -1 "fast" (0, 0, 0) session::ping;
    Echo "echo" 2 "fast" (0, 0, 0) session::echo;
    Hello "hello" -1 "noscript loading stale fast no_auth" (0, 0, 0) session::hello;
    Auth "auth" -2 "noscript loading stale fast no_auth" (0, 0, 0) session::auth;
    Quit "quit" -1 "noscript loading stale fast no_auth" (0, 0, 0) session::quit;
    Reset "reset" 1 "noscript loading stale fast no_auth" (0, 0, 0) session::reset;
    Select "select" 2 "loading stale fast" (0, 0, 0) session::select;
    Client "client" -2 "admin noscript loading stale" (0, 0, 0) session::client;
    Command "command" -1 "loading stale" (0, 0, 0) server::command;
    Config "config" -2 "admin noscript loading stale" (0, 0, 0) config::config;
    Info "info" -1 "loading stale" (0, 0, 0) info::info;
    DbSize "dbsize" 1 "readonly fast" (0, 0, 0) server::dbsize;
    FlushDb "flushdb" -1 "write" (0, 0, 0) server::flush;
    FlushAll "flushall" -1 "write" (0, 0, 0) server::flush;
    Time "time" 1 "loading stale fast" (0, 0, 0) server::time;
    MemoryCommand "memory" -2 "readonly" (0, 0, 0) server::memory;
}

impl Id {
    /// What is known of it.
    #[inline(always)]
    pub(in crate::kv) fn spec(self) -> &'static Spec {
        &COMMANDS[self as usize]
    }
}

/// Slots of [`INDEX`]: a power of two, sparse enough that most names are found at once.
const SLOTS: usize = 512;

/// Names in [`key_of`]'s form and their commands, by hash; 0 is free, and ends a search.
static INDEX: [(u128, Id); SLOTS] = {
    let mut index = [(0, IDS[0]); SLOTS];
    let mut at = 0;
    while at < COMMANDS.len() {
        let key = key_of(COMMANDS[at].name.as_bytes());
        let mut slot = slot_of(key);
        while index[slot].0 != 0 {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = (key, IDS[at]);
        at += 1;
    }
    index
};

/// The same for names of at most 8 letters, where they are in the slots of their hashes.
static SHORT: [(u64, Id); SLOTS] = {
    let mut short = [(0, IDS[0]); SLOTS];
    let mut slot = 0;
    while slot < SLOTS {
        let (key, id) = INDEX[slot];
        if key >> 64 == 0 && slot_of(key) == slot {
            short[slot] = (key as u64, id);
        }
        slot += 1;
    }
    short
};

/// A name of at most 16 letters as one number, in lower case, the first letter lowest. Setting that bit
/// makes a letter of letters only, so no other name has the number of a command.
const fn key_of(name: &[u8]) -> u128 {
    let (mut key, mut at) = (0, 0);
    while at < name.len() {
        key |= ((name[at] | 0x20) as u128) << (8 * at);
        at += 1;
    }
    key
}

/// [`key_of`] of a short name: the first `len` of 8 bytes.
#[inline(always)]
fn key_of_word(bytes: [u8; 8], len: usize) -> u64 {
    let unused = 64 - 8 * len;
    (u64::from_le_bytes(bytes) | 0x2020_2020_2020_2020) << unused >> unused
}

/// What a command is over, where several threads have keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kv) enum Over {
    /// The connection, or what is the same everywhere.
    Nothing,
    /// The keys among its words.
    Keys,
    /// All keys, or all connections.
    Database(Finish),
    /// The thread that its cursor tells.
    Cursor,
    /// Its first argument tells.
    Subcommand,
}

/// What a request is over, where its keys are, and whether it has as many words as it must.
pub(in crate::kv) fn over(request: Command<'_>) -> Option<(Over, (i8, i8, i8), bool)> {
    let spec = find_named(request)?.spec();
    let over = match spec.name {
        _ if spec.keys.0 > 0 => Over::Keys,
        "dbsize" => Over::Database(Finish::Sum),
        "flushdb" | "flushall" => Over::Database(Finish::Ok),
        "keys" => Over::Database(Finish::Join),
        "randomkey" => Over::Database(Finish::Draw),
        "info" => Over::Database(Finish::Info),
        "scan" => Over::Cursor,
        "client" | "config" | "memory" => Over::Subcommand,
        _ => Over::Nothing,
    };
    Some((over, spec.keys, spec.fits(request.len())))
}

/// Where to look first (Fibonacci hashing).
const fn slot_of(key: u128) -> usize {
    slot_of_word((key >> 64) as u64 ^ key as u64)
}

const fn slot_of_word(folded: u64) -> usize {
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros())) as usize
}

/// The command that a request names.
#[inline(always)]
pub(super) fn find_named(request: Command<'_>) -> Option<Id> {
    if let Some((bytes, len @ 1..=8)) = request.name_and_more() {
        let key = key_of_word(bytes, len);
        let (other, id) = SHORT[slot_of_word(key)];
        if other == key {
            return Some(id);
        }
    }
    find(request.at(0))
}

/// The command of this name, in upper or lower case.
#[cold]
pub(super) fn find(name: &[u8]) -> Option<Id> {
    if name.len() > 16 {
        return None;
    }
    let key = key_of(name);
    let mut slot = slot_of(key);
    loop {
        let (other, id) = INDEX[slot];
        if other == key && key != 0 {
            return Some(id);
        }
        if other == 0 {
            return None;
        }
        slot = (slot + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for (index, spec) in COMMANDS.iter().enumerate() {
            let id = Some(IDS[index]);
            assert_eq!(id.map(|id| id.spec().name), Some(spec.name));
            assert_eq!(find(spec.name.as_bytes()), id, "{}", spec.name);
            assert_eq!(find(spec.name.to_ascii_uppercase().as_bytes()), id);
            assert_ne!(find(&spec.name.as_bytes()[1..]), id, "{}", spec.name);
            assert!(
                spec.name.len() <= 16 && spec.name.bytes().all(|byte| byte.is_ascii_lowercase())
            );
        }
        for len in 1..=16 {
            let name = &b"PqRsTuVwXyZaBcDe"[..len];
            if len <= 8 {
                let bytes = *b"PqRsTuVwXyZaBcDe".first_chunk().unwrap();
                assert_eq!(u128::from(key_of_word(bytes, len)), key_of(name));
            }
        }
        for wrong in [
            "",
            "\0",
            "g",
            "GE\x14",
            "ge\u{74}\0",
            "gett",
            "zork",
            "a very long name that no command has",
        ] {
            assert_eq!(find(wrong.as_bytes()), None);
        }
    }
}
