//! `CONFIG`: what the server was started with, and what of it may be changed.
#![forbid(unsafe_code)]

use super::{Call, Fault, Handled, Shared, is};
use crate::kv::glob;
use crate::kv::memory::Memory;
use crate::kv::resp::Command;
use crate::kv::store::Eviction;

/// `CONFIG GET pattern ...` and `CONFIG SET name value ...`.
pub(super) fn config<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    match request.at(1) {
        sub if is(sub, "get") && request.len() < 3 => Ok(call.wrong_arity("config|get")?),
        sub if is(sub, "get") => get(call, request),
        sub if is(sub, "set") && request.len() < 4 => Ok(call.wrong_arity("config|set")?),
        sub if is(sub, "set") => set(call, request),
        _ => Ok(call.unknown_subcommand(request, "CONFIG")?),
    }
}

fn get<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let parameters = call.shared.settings.parameters();
    let found = || {
        let asked = |name: &str| {
            let mut patterns = request.iter_from(2);
            patterns.find(|pattern| glob::matches(pattern, name.as_bytes(), true) == Ok(true))
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

/// What a `CONFIG SET` changes.
#[derive(Default)]
struct Changes {
    memory: Option<usize>,
    eviction: Option<Eviction>,
}

impl Changes {
    /// Notes one; else what is wrong with it.
    fn note(&mut self, name: &str, value: &[u8], most: usize) -> Result<(), &'static str> {
        match name {
            "maxmemory" => {
                let bytes = bytes(value).ok_or("argument must be a memory value")?;
                // No limit is all that the server was started with.
                let bytes = if bytes == 0 { most } else { bytes };
                if bytes > most {
                    return Err("argument must be at most what the server was started with");
                }
                once(&mut self.memory, bytes)
            }
            "maxmemory-policy" => {
                let known = [Eviction::None, Eviction::Lru];
                let policy = known.into_iter().find(|eviction| is(value, eviction.policy()));
                let wrong = "argument(s) must be one of the following: allkeys-lru, noeviction";
                once(&mut self.eviction, policy.ok_or(wrong)?)
            }
            _ => Err("can't set immutable config"),
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    if place.replace(value).is_some() { Err("duplicate parameter") } else { Ok(()) }
}

/// Bytes as Redis writes them: `kb` is 1024, `k` is 1000.
fn bytes(word: &[u8]) -> Option<usize> {
    let word = std::str::from_utf8(word).ok()?.to_ascii_lowercase();
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let unit = match &word[digits.len()..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse::<usize>().ok().filter(|_| is_number)?.checked_mul(unit)
}

/// All that is asked for, or nothing.
fn set<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() % 2 == 1 {
        return Err(Fault::Syntax);
    }
    let parameters = call.shared.settings.parameters();
    let known = |name: &[u8]| parameters.iter().find(|(parameter, _)| is(name, parameter));
    let pairs = || (2..request.len()).step_by(2).map(|at| (request.at(at), request.at(at + 1)));
    if let Some((name, _)) = pairs().find(|(name, _)| known(name).is_none()) {
        let text = b"ERR Unknown option or number of arguments for CONFIG SET - '";
        return Ok(call.error(&[text, name, b"'"])?);
    }
    let mut changes = Changes::default();
    for (name, value) in pairs() {
        let name = known(name).map_or("", |(name, _)| name);
        if let Err(wrong) = changes.note(name, value, call.shared.most_memory) {
            let text = b"ERR CONFIG SET failed (possibly related to argument '";
            return Ok(call.error(&[text, name.as_bytes(), b"') - ", wrong.as_bytes()])?);
        }
    }
    let Shared { store, settings, share, .. } = &mut *call.shared;
    if let Some(eviction) = changes.eviction {
        store.set_eviction(eviction).map_err(|_| Fault::Budget)?;
        settings.eviction = eviction;
    }
    settings.memory = changes.memory.unwrap_or(settings.memory);
    store.set_limit(settings.memory / share.of);
    Ok(call.reply.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_written_as_in_redis() {
        for (text, expected) in
            [("0", 0), ("17b", 17), ("2k", 2000), ("2KB", 2048), ("3mb", 3 << 20)]
        {
            assert_eq!(bytes(text.as_bytes()), Some(expected), "{text}");
        }
        for wrong in ["", "k", "-1", "+1", "1x", "1 kb", "99999999999999999999", "99999999999999gb"]
        {
            assert_eq!(bytes(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
