//! Which threads a request concerns.
#![forbid(unsafe_code)]

use super::gather::Finish;
use super::{Sharding, Share};
use crate::kv::command::{Over, is, over};
use crate::kv::numbers::{cursor, integer};
use crate::kv::resp::Command;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// It is executed by the thread that has read it.
    Here,
    /// By the owner of its keys.
    One(usize),
    /// A part by each owner of its keys, of which every `step`th word is one.
    Keys {
        /// How the replies become one.
        finish: Finish,
        /// Words from one key to the next.
        step: usize,
    },
    /// By all threads.
    All(Finish),
    /// By the owners of its keys, while all of them hold still.
    Together,
}

/// Where `request` goes. What is wrong with it is told here.
#[must_use]
pub fn route(request: Command<'_>, sharding: &Sharding, share: Share) -> Route {
    let Some((over, keys, fits)) = over(request) else { return Route::Here };
    if !fits {
        return Route::Here;
    }
    match over {
        Over::Nothing => Route::Here,
        Over::Keys => by_keys(request, keys, sharding),
        Over::Database(finish) => Route::All(finish),
        Over::Cursor => by_cursor(request, share),
        Over::Subcommand => by_subcommand(request, sharding),
    }
}

fn by_cursor(request: Command<'_>, share: Share) -> Route {
    cursor(request.at(1)).map_or(Route::Here, |cursor| Route::One(share.of_cursor(cursor)))
}

fn by_subcommand(request: Command<'_>, sharding: &Sharding) -> Route {
    let (name, sub, len) = (request.at(0), request.at(1), request.len());
    if is(name, "memory") {
        return match sub {
            sub if is(sub, "usage") && len > 2 => Route::One(sharding.of(request.at(2))),
            sub if is(sub, "stats") && len == 2 => Route::All(Finish::Figures),
            sub if is(sub, "doctor") && len == 2 => Route::All(Finish::Diagnosis),
            _ => Route::Here,
        };
    }
    if is(name, "config") {
        let sets = is(sub, "set") && len > 3;
        return if sets { Route::All(Finish::Ok) } else { Route::Here };
    }
    match sub {
        sub if is(sub, "list") && good_list(request) => Route::All(Finish::Texts),
        sub if is(sub, "kill") && len == 3 => Route::All(Finish::AnyOk),
        sub if is(sub, "kill") && len > 3 => Route::All(Finish::Sum),
        _ => Route::Here,
    }
}

/// Whether `CLIENT LIST` asks for what every thread answers alike.
fn good_list(request: Command<'_>) -> bool {
    request.len() == 2
        || is(request.at(2), "id") && request.iter_from(3).all(|id| integer(id).is_some())
        || is(request.at(2), "type")
}

/// By the places of the keys among the words: first, last (from behind if below 0) and step.
fn by_keys(request: Command<'_>, keys: (i8, i8, i8), sharding: &Sharding) -> Route {
    let (first, last, step) = (keys.0 as usize, isize::from(keys.1), keys.2.max(1) as usize);
    let Some(key) = request.get(first) else { return Route::Here };
    let owner = sharding.of(key);
    let last = if last < 0 { request.len() as isize + last } else { last } as usize;
    let same = (first..=last)
        .step_by(step)
        .all(|at| request.get(at).is_none_or(|key| sharding.of(key) == owner));
    if same { Route::One(owner) } else { several(request) }
}

/// Keys of several threads.
fn several(request: Command<'_>) -> Route {
    let pairs = request.len() % 2 == 1;
    match request.at(0) {
        name if is(name, "mget") => Route::Keys { finish: Finish::Weave, step: 1 },
        name if is(name, "mset") && pairs => Route::Keys { finish: Finish::Ok, step: 2 },
        name if is(name, "mset") || is(name, "msetnx") && !pairs => Route::Here,
        name if ["msetnx", "rename", "renamenx", "copy"].iter().any(|other| is(name, other)) => {
            Route::Together
        }
        _ => Route::Keys { finish: Finish::Sum, step: 1 },
    }
}
