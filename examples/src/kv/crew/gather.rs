//! One reply out of those of several threads.
#![forbid(unsafe_code)]

use crate::kv::numbers::integer;
use crate::kv::reply::{Human, OutOfMemory, Reply, Sink};
use std::fmt::Write;

/// How the replies of the parts become one. Whatever it is, if a part is an error, that is the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// `+OK` of all.
    Ok,
    /// `+OK` of any; their errors are the same.
    AnyOk,
    /// Their sum.
    Sum,
    /// Elements of arrays, each from the part that its key went to.
    Weave,
    /// All elements of all arrays.
    Join,
    /// One of the keys, each as likely as the others: after each part's count comes a key of it.
    Draw,
    /// Texts, one behind the other.
    Texts,
    /// `INFO`: figures are added up.
    Info,
    /// A map of names and figures, which are added up.
    Figures,
    /// The first text that is about a problem.
    Diagnosis,
}

/// Reads replies one by one.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The line without its first byte and its end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.0.windows(2).position(|window| window == b"\r\n")?;
        let line = self.0.get(1..end)?;
        self.0 = &self.0[end + 2..];
        Some(line)
    }

    /// The elements of an array or a map: how many there are, if it is one.
    fn enter(&mut self) -> Option<usize> {
        let factor = match self.0.first()? {
            b'*' | b'~' => 1,
            b'%' => 2,
            _ => return None,
        };
        let count = integer(self.line()?)?;
        Some(usize::try_from(count).ok()? * factor)
    }

    /// The text of a string.
    fn text(&mut self) -> Option<&'a [u8]> {
        let skip = if self.0.first()? == &b'=' { 4 } else { 0 };
        let len = usize::try_from(integer(self.line()?)?).ok()?;
        let text = self.0.get(skip..len)?;
        self.0 = self.0.get(len + 2..)?;
        Some(text)
    }
}

/// One that is no array: all of its bytes.
impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let all = self.0;
        match all.first()? {
            b'$' | b'=' if !all.starts_with(b"$-1\r\n") => drop(self.text()?),
            _ => drop(self.line()?),
        }
        Some(&all[..all.len() - self.0.len()])
    }
}

/// Appends the reply that `parts` are together. `order` says from which part each element comes, for
/// [`Finish::Weave`]; `drawn` is any number, for [`Finish::Draw`].
///
/// # Errors
/// [`OutOfMemory`]; a part may have been appended.
pub fn gather(
    finish: Finish,
    parts: &[&[u8]],
    order: &[u32],
    drawn: u64,
    reply: &mut Reply<'_, impl Sink>,
) -> Result<(), OutOfMemory> {
    let failed = parts.iter().find(|part| part.first().is_none_or(|&first| first == b'-'));
    match (failed, finish) {
        (_, Finish::AnyOk) => {
            let ok = parts.iter().find(|part| part.starts_with(b"+"));
            reply.raw(ok.or(parts.first()).copied().unwrap_or_default())
        }
        (Some(error), _) => reply.raw(error),
        (None, Finish::Ok) => reply.ok(),
        (None, Finish::Sum) => reply.integer(parts.iter().map(|part| number(part)).sum()),
        (None, Finish::Weave) => weave(parts, order, reply),
        (None, Finish::Join) => join(parts, reply),
        (None, Finish::Draw) => draw(parts, drawn, reply),
        (None, Finish::Texts) => {
            reply.verbatim(&parts.iter().map(|part| text(part)).collect::<Vec<_>>().concat())
        }
        (None, Finish::Info) => reply.verbatim(&info(parts)),
        (None, Finish::Figures) => figures(parts, reply),
        (None, Finish::Diagnosis) => {
            let mut texts = parts.iter().map(|part| text(part));
            let first = texts.next().unwrap_or_default();
            let ill = std::iter::once(first).chain(texts).find(|text| !text.starts_with(b"Hi"));
            reply.verbatim(ill.unwrap_or(first))
        }
    }
}

/// `:12`, or 0.
fn number(part: &[u8]) -> i64 {
    Elements(part).line().and_then(integer).unwrap_or(0)
}

fn text(part: &[u8]) -> &[u8] {
    Elements(part).text().unwrap_or_default()
}

fn weave(
    parts: &[&[u8]],
    order: &[u32],
    reply: &mut Reply<'_, impl Sink>,
) -> Result<(), OutOfMemory> {
    let mut elements: Vec<_> = parts.iter().map(|part| Elements(part)).collect();
    for part in &mut elements {
        let _ = part.enter();
    }
    reply.array(order.len())?;
    for &part in order {
        let element = elements.get_mut(part as usize).and_then(Iterator::next);
        reply.raw(element.unwrap_or_default())?;
    }
    Ok(())
}

fn join(parts: &[&[u8]], reply: &mut Reply<'_, impl Sink>) -> Result<(), OutOfMemory> {
    let mut elements: Vec<_> = parts.iter().map(|part| Elements(part)).collect();
    let count = elements.iter_mut().filter_map(Elements::enter).sum();
    reply.array(count)?;
    elements.iter().try_for_each(|rest| reply.raw(rest.0))
}

fn draw(parts: &[&[u8]], drawn: u64, reply: &mut Reply<'_, impl Sink>) -> Result<(), OutOfMemory> {
    let counts = || parts.iter().step_by(2).map(|part| number(part).unsigned_abs());
    let mut left = drawn % counts().sum::<u64>().max(1);
    for (count, key) in counts().zip(parts.iter().skip(1).step_by(2)) {
        // One whose last key has ended since has none.
        if left < count && key.starts_with(b"$") && !key.starts_with(b"$-") {
            return reply.raw(key);
        }
        left = left.saturating_sub(count);
    }
    reply.null()
}

/// Figures that are the same for all threads, or have no sum.
const OF_ALL: [&str; 9] = [
    "letters_between_threads",
    "bytes_between_threads",
    "process_id",
    "tcp_port",
    "uptime_in_seconds",
    "maxclients",
    "threads",
    "system_allocator_calls",
    "redis_version",
];

/// The texts of `INFO` as one: what is a figure is the sum of all.
fn info(parts: &[&[u8]]) -> Vec<u8> {
    let texts = parts.iter().map(|part| std::str::from_utf8(text(part)).unwrap_or_default());
    let texts: Vec<&str> = texts.collect();
    let value = |text: &str, name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(other, _)| *other == name).and_then(|(_, value)| value.parse::<u64>().ok())
    };
    let sum = |name: &str| -> u64 { texts.iter().filter_map(|text| value(text, name)).sum() };
    let mut out = String::new();
    for line in texts.first().copied().unwrap_or_default().lines() {
        let (name, shown) = line.split_once(':').unwrap_or((line, ""));
        let _ = match name.strip_suffix("_human") {
            _ if name == "db0" => Ok(()),
            Some(name) => write!(out, "{name}_human:{}\r\n", Human(sum(name) as usize)),
            None if shown.parse::<u64>().is_ok() && !OF_ALL.contains(&name) => {
                write!(out, "{name}:{}\r\n", sum(name))
            }
            None => write!(out, "{line}\r\n"),
        };
    }
    if out.contains("# Keyspace") {
        out.push_str(&keyspace(&texts));
    }
    out.into_bytes()
}

/// The line of the database, if any thread has keys.
fn keyspace(texts: &[&str]) -> String {
    let lines =
        || texts.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("db0:"));
    let sum = |name: &str| -> u64 {
        let field = |line: &str| {
            let at = line.find(name)? + name.len();
            line[at..].split(',').next()?.parse::<u64>().ok()
        };
        lines().filter_map(field).sum()
    };
    match lines().next() {
        Some(_) => format!("db0:keys={},expires={},avg_ttl=0\r\n", sum("keys="), sum("expires=")),
        None => String::new(),
    }
}

fn figures(parts: &[&[u8]], reply: &mut Reply<'_, impl Sink>) -> Result<(), OutOfMemory> {
    let mut all: Vec<(&[u8], i64)> = Vec::new();
    for part in parts {
        let mut elements = Elements(part);
        let _ = elements.enter();
        while let (Some(name), Some(value)) = (elements.text(), elements.next()) {
            match all.iter_mut().find(|(other, _)| *other == name) {
                Some((_, sum)) => *sum += number(value),
                None => all.push((name, number(value))),
            }
        }
    }
    reply.map(all.len())?;
    for (name, value) in all {
        reply.bulk(name)?;
        reply.integer(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::reply::Protocol;

    fn together(finish: Finish, parts: &[&[u8]], order: &[u32]) -> String {
        let mut out = Vec::new();
        let mut sink = &mut out;
        let mut reply = Reply::new(&mut sink, Protocol::Resp2);
        gather(finish, parts, order, 5, &mut reply).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parts_become_one() {
        assert_eq!(together(Finish::Sum, &[b":1\r\n", b":41\r\n"], &[]), ":42\r\n");
        assert_eq!(together(Finish::Ok, &[b"+OK\r\n", b"-OOM x\r\n"], &[]), "-OOM x\r\n");
        let kill: [&[u8]; 2] = [b"-ERR No such client\r\n", b"+OK\r\n"];
        assert_eq!(together(Finish::AnyOk, &kill, &[]), "+OK\r\n");
        let values: [&[u8]; 2] = [b"*2\r\n$1\r\na\r\n$-1\r\n", b"*1\r\n$2\r\nb\n\r\n"];
        let woven = together(Finish::Weave, &values, &[0, 1, 0]);
        assert_eq!(woven, "*3\r\n$1\r\na\r\n$2\r\nb\n\r\n$-1\r\n");
        let joined = together(Finish::Join, &[b"*0\r\n", b"*1\r\n$1\r\nk\r\n"], &[]);
        assert_eq!(joined, "*1\r\n$1\r\nk\r\n");
        let drawn: [&[u8]; 4] = [b":3\r\n", b"$1\r\na\r\n", b":4\r\n", b"$1\r\nb\r\n"];
        assert_eq!(together(Finish::Draw, &drawn, &[]), "$1\r\nb\r\n");
        assert_eq!(together(Finish::Draw, &[b":0\r\n", b"$-1\r\n"], &[]), "$-1\r\n");
    }

    #[test]
    fn figures_are_added_up() {
        let part = |text: &str| format!("${}\r\n{text}\r\n", text.len()).into_bytes();
        let texts = [
            part(
                "# Memory\r\nused_memory:1024\r\nused_memory_human:x\r\ntcp_port:7\r\n\r\n# Keyspace\r\n",
            ),
            part(
                "# Memory\r\nused_memory:1024\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\n",
            ),
        ];
        let parts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let expected = "# Memory\r\nused_memory:2048\r\nused_memory_human:2.00K\r\ntcp_port:7\r\n\r\n\
                        # Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\n";
        assert_eq!(String::from_utf8(info(&parts)).unwrap(), expected);
        let maps: [&[u8]; 2] =
            [b"*2\r\n$1\r\na\r\n:1\r\n", b"*4\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:5\r\n"];
        assert_eq!(
            together(Finish::Figures, &maps, &[]),
            "*4\r\n$1\r\na\r\n:3\r\n$1\r\nb\r\n:5\r\n"
        );
    }
}
