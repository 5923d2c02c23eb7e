//! The Redis protocol, version 2: a parser over `&[u8]` that resumes where it stopped.
//!
//! A request is an array of bulk strings, `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`, or one *inline* line,
//! `GET k\r\n`. The parser copies nothing of an array: it yields [`Command`]s, which are spans
//! into the caller's bytes. It reserves nothing on the word of a client: an announced length is a
//! number to compare with until the bytes are there.
//!
//! What a frame needs to go on after a short read is a [`Progress`] of 12 bytes. The spans of a
//! frame that came in pieces are collected in a second walk once it is whole; keeping them would
//! cost every slow connection a list, and the walk touches headers only.
//!
//! Wording and leniency follow Redis 7 (`networking.c`): the two bytes after a bulk string are
//! skipped, not compared; `*0` and `*-1` are empty requests. One difference is meant: a line is
//! too long when it *is* longer than 64 KiB, not when it happens to have arrived that way.
#![forbid(unsafe_code)]

mod inline;

use super::memory::{List, Scratch};
use super::numbers::integer;
use super::reply::OutOfMemory;
use memchr::memchr;

/// Longest line in bytes, inline request or length header: `PROTO_INLINE_MAX_SIZE` of Redis.
pub const MAX_LINE: usize = 64 << 10;

/// Most arguments of one request. Redis 7 allows `i32::MAX` here; Redis 6 allowed this many, and
/// it keeps the list of spans below 8 MiB.
pub const MAX_ARGS: usize = 1 << 20;

/// Most bytes of one argument, as in Redis unless configured otherwise, however long a frame may be.
pub const MAX_BULK: usize = 512 << 20;

/// Arguments that most requests do not exceed.
const COMMON_ARGS: usize = 8;

/// A request that is not the protocol. [`Display`](std::fmt::Display) is the text that Redis
/// replies with, before it closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// `*` is not followed by a number, or by one above [`MAX_ARGS`].
    #[error("ERR Protocol error: invalid multibulk length")]
    ArrayLength,
    /// `$` is not followed by a number, or the request would exceed the frame limit.
    #[error("ERR Protocol error: invalid bulk length")]
    BulkLength,
    /// An element is not a bulk string.
    #[error("ERR Protocol error: expected '$', got '{}'", *.0 as char)]
    ExpectedBulk(u8),
    /// No line end within [`MAX_LINE`] bytes after `*`.
    #[error("ERR Protocol error: too big mbulk count string")]
    ArrayLine,
    /// No line end within [`MAX_LINE`] bytes after `$`.
    #[error("ERR Protocol error: too big bulk count string")]
    BulkLine,
    /// No line end within [`MAX_LINE`] bytes of an inline request.
    #[error("ERR Protocol error: too big inline request")]
    InlineLine,
    /// Quotes of an inline request do not match.
    #[error("ERR Protocol error: unbalanced quotes in request")]
    Quotes,
    /// The list of arguments could not be grown.
    #[error("OOM out of memory for the arguments of a request")]
    OutOfMemory,
}

impl ProtocolError {
    /// The error reply in bytes: the offending byte as it came, not as UTF-8.
    #[must_use]
    pub fn text(self) -> Vec<u8> {
        match self {
            Self::ExpectedBulk(byte) => {
                [b"ERR Protocol error: expected '$', got '", &[byte][..], b"'"].concat()
            }
            other => other.to_string().into_bytes(),
        }
    }
}

impl From<OutOfMemory> for ProtocolError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// How far the scan of an unfinished frame has come. Start a connection with `default()`, and hand
/// the same value in until the frame is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the frame already scanned; 0 is the beginning.
    at: u32,
    /// Arguments still to come.
    left: u32,
    /// Length of the bulk string at `at`, plus one; 0 while its header is unread.
    bulk: u32,
}

impl Progress {
    /// Bytes that the frame has at least, if that is more than has come: until then another look
    /// at it would find nothing new. 0 if it is not known.
    #[inline]
    #[must_use]
    pub const fn needed(&self) -> usize {
        match self.bulk {
            0 => 0,
            len_and_one => self.at as usize + len_and_one as usize - 1 + 2,
        }
    }
}

/// What [`parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request in the first so many bytes; consume them after use. It may have no
    /// arguments (an empty line).
    Frame(usize),
    /// More bytes are needed.
    Partial,
}

/// Half-open range of bytes of one argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Of a frame, which is shorter than 4 GiB.
    #[inline]
    const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }
}

/// Where [`parse`] leaves the arguments: one value serves the requests of a batch.
#[derive(Debug)]
pub struct Args<C: Scratch> {
    /// The arguments, if there are no more than these.
    few: [Span; COMMON_ARGS],
    /// Else all of them.
    many: C::List<Span>,
    /// How many there are.
    count: usize,
    /// The arguments of an inline request, unquoted.
    line: C::List<u8>,
    /// Whether `spans` point into `line` and not into the input.
    inline: bool,
}

impl<C: Scratch> Args<C> {
    /// Empty lists in `scratch`, which take no room there as long as requests are short.
    #[inline]
    pub fn new(scratch: C) -> Self {
        let few = [Span::default(); COMMON_ARGS];
        Self { few, many: scratch.list(0), count: 0, line: scratch.list(0), inline: false }
    }

    /// The request that was parsed last, whose bytes are `input`.
    #[inline]
    #[must_use]
    pub fn command<'a>(&'a self, input: &'a [u8]) -> Command<'a> {
        let bytes = if self.inline { self.line.as_slice() } else { input };
        let spans = match self.few.get(..self.count) {
            Some(few) => few,
            None => self.many.as_slice(),
        };
        Command { bytes, spans }
    }

    #[inline]
    fn clear(&mut self, inline: bool) {
        self.count = 0;
        self.inline = inline;
    }

    #[inline]
    fn push(&mut self, start: usize, end: usize) -> Result<(), ProtocolError> {
        let span = Span::new(start, end);
        match self.few.get_mut(self.count) {
            Some(place) => *place = span,
            None => self.push_one_of_many(span)?,
        }
        self.count += 1;
        Ok(())
    }

    #[inline(never)]
    fn push_one_of_many(&mut self, span: Span) -> Result<(), ProtocolError> {
        if self.count == COMMON_ARGS {
            self.many.clear();
            self.many.extend(&self.few)?;
        }
        Ok(self.many.push(span)?)
    }
}

/// One request: its name and arguments, borrowed from the connection's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Command<'a> {
    /// Arguments, the name included.
    #[inline]
    #[must_use]
    pub const fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// At least as many bytes as all arguments have together. O(1).
    #[inline]
    #[must_use]
    pub const fn bytes_at_most(self) -> usize {
        self.bytes.len()
    }

    /// Argument `index`; 0 is the name.
    #[inline]
    #[must_use]
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        self.bytes.get(span.start as usize..span.end as usize)
    }

    /// As [`get`](Self::get), for what the arity has made sure of; empty beyond the end.
    #[inline]
    #[must_use]
    pub fn at(self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// The name and what happens to follow it, 8 bytes in all, and the length of the name; `None` if
    /// there are fewer.
    #[inline]
    #[must_use]
    pub fn name_and_more(self) -> Option<([u8; 8], usize)> {
        let Span { start, end } = *self.spans.first()?;
        let bytes = self.bytes.get(start as usize..)?.first_chunk()?;
        Some((*bytes, (end - start) as usize))
    }

    /// All arguments from `first` on.
    pub fn iter_from(self, first: usize) -> impl Iterator<Item = &'a [u8]> {
        (first..self.len()).filter_map(move |index| self.get(index))
    }
}

/// Looks for one request at the beginning of `input`.
///
/// `progress` is the frame's own and starts as `default()`; on [`Parsed::Partial`] call again with
/// *the same bytes and more behind them*. On [`Parsed::Frame`] it is ready for the next frame and
/// `args` holds the request. `max_frame` bounds a frame in bytes and must be below 4 GiB; a frame
/// that announces more, or an argument above [`MAX_BULK`], is refused at once.
///
/// O(new bytes) a call; the bytes of bulk strings are never looked at.
///
/// # Errors
/// [`ProtocolError`]: the connection cannot be used any further.
///
/// ```
/// use examples::kv::memory::SmallLists;
/// use examples::kv::resp::{Args, Parsed, Progress, parse};
/// let (mut progress, mut args) = (Progress::default(), Args::new(SmallLists));
/// let input = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n";
/// assert_eq!(parse(&input[..9], &mut progress, 1 << 20, &mut args), Ok(Parsed::Partial));
/// assert_eq!(parse(input, &mut progress, 1 << 20, &mut args), Ok(Parsed::Frame(20)));
/// assert_eq!(args.command(input).at(1), b"k");
/// ```
#[inline(always)]
pub fn parse<C: Scratch>(
    input: &[u8],
    progress: &mut Progress,
    max_frame: usize,
    args: &mut Args<C>,
) -> Result<Parsed, ProtocolError> {
    debug_assert!(max_frame < u32::MAX as usize);
    if progress.at == 0 {
        if let Some(len) = parse_short(input, max_frame, args) {
            return Ok(Parsed::Frame(len));
        }
    }
    parse_any(input, progress, max_frame, args)
}

/// The common request in one pass and without a state: an array of a few strings, none of them longer
/// than 999 bytes, that has come whole. Of anything else the long way decides what it is.
#[inline(always)]
fn parse_short<C: Scratch>(input: &[u8], max_frame: usize, args: &mut Args<C>) -> Option<usize> {
    const ARRAY: u32 = u32::from_le_bytes(*b"*0\r\n");
    let count = u32::from_le_bytes(*input.first_chunk()?) ^ ARRAY;
    if count == 0 || count & !0x0f00 != 0 {
        return None;
    }
    let count = (count >> 8) as usize;
    let mut rest = input.get(4..)?;
    for place in args.few.get_mut(..count)? {
        let (len, header) = short_header(rest.first_chunk()?)?;
        let start = input.len() - rest.len() + header;
        *place = Span::new(start, start + len);
        rest = rest.get(header + len + 2..)?;
    }
    args.count = count;
    args.inline = false;
    let len = input.len() - rest.len();
    (len <= max_frame).then_some(len)
}

/// `$7\r\n`, `$16\r\n` or `$512\r\n`: the length, and how many bytes the header has.
///
/// Four bytes at once: what they must be is taken away by an exclusive or, which leaves digits as their
/// values.
#[inline(always)]
fn short_header(header: &[u8; 6]) -> Option<(usize, usize)> {
    const ONE: u32 = u32::from_le_bytes(*b"$0\r\n");
    const TWO: u32 = u32::from_le_bytes(*b"$00\r");
    const THREE: u32 = u32::from_le_bytes(*b"$000");
    // As a part of the array: four single bytes would be loaded one by one.
    let word = u32::from_le_bytes(*header.first_chunk()?);
    let one = word ^ ONE;
    if are_digits(one, 0x0f00) {
        return Some(((one >> 8) as usize, 4));
    }
    let two = word ^ TWO;
    let first = two >> 8 & 0xf;
    if are_digits(two, 0x0f_0f00) && first > 0 {
        return Some(((first * 10 + (two >> 16)) as usize, 5));
    }
    let three = word ^ THREE;
    let first = three >> 8 & 0xf;
    if are_digits(three, 0x0f0f_0f00) && first > 0 && header[4] == b'\r' {
        let second = three >> 16 & 0xf;
        return Some((((first * 10 + second) * 10 + (three >> 24)) as usize, 6));
    }
    None
}

/// Whether `word` has nothing but digits (their values) in the bytes of `mask`, each of them `0x0f`.
#[inline(always)]
const fn are_digits(word: u32, mask: u32) -> bool {
    // Six more makes 16 of 10, and nothing of another byte if there is nothing but the mask's.
    let six = mask / 0xf * 6;
    (word | word.wrapping_add(six)) & !mask == 0
}

#[cold]
#[inline(never)]
fn parse_any<C: Scratch>(
    input: &[u8],
    progress: &mut Progress,
    max_frame: usize,
    args: &mut Args<C>,
) -> Result<Parsed, ProtocolError> {
    let parsed = match input.first() {
        None => return Ok(Parsed::Partial),
        Some(b'*') => parse_array(input, progress, max_frame, args)?,
        Some(_) => parse_inline(input, args)?,
    };
    if parsed == Parsed::Partial && input.len() >= max_frame {
        return Err(ProtocolError::BulkLength);
    }
    Ok(parsed)
}

/// An array of bulk strings.
#[inline]
fn parse_array<C: Scratch>(
    input: &[u8],
    progress: &mut Progress,
    max_frame: usize,
    args: &mut Args<C>,
) -> Result<Parsed, ProtocolError> {
    let resumed = progress.at > 0;
    args.clear(false);
    let parsed = if resumed {
        scan(input, progress, max_frame, |_, _| Ok(()))?
    } else {
        scan(input, progress, max_frame, |start, end| args.push(start, end))?
    };
    if parsed == Parsed::Partial {
        return Ok(parsed);
    }
    if resumed {
        *progress = Progress::default();
        scan(input, progress, max_frame, |start, end| args.push(start, end))?;
    }
    *progress = Progress::default();
    Ok(parsed)
}

/// Walks the headers from `progress` on, and calls `found` for each argument that is whole.
#[inline]
fn scan(
    input: &[u8],
    progress: &mut Progress,
    max_frame: usize,
    found: impl FnMut(usize, usize) -> Result<(), ProtocolError>,
) -> Result<Parsed, ProtocolError> {
    if progress.at == 0 {
        if let Some((count, len)) = short_length(&input[1..]).filter(|&(n, _)| n <= MAX_ARGS) {
            *progress = Progress { at: len as u32 + 1, left: count as u32, bulk: 0 };
            return scan_bulks(input, progress, max_frame, found);
        }
        let Some(line) = line_at(input, 0, ProtocolError::ArrayLine)? else {
            return Ok(Parsed::Partial);
        };
        progress.left = array_length(&line[1..])?;
        progress.at = line.len() as u32 + 2;
    }
    scan_bulks(input, progress, max_frame, found)
}

/// Walks the bulk strings of an array whose own header is read.
#[inline(always)]
fn scan_bulks(
    input: &[u8],
    progress: &mut Progress,
    max_frame: usize,
    mut found: impl FnMut(usize, usize) -> Result<(), ProtocolError>,
) -> Result<Parsed, ProtocolError> {
    while progress.left > 0 {
        if progress.bulk == 0 && !bulk_header(input, progress, max_frame)? {
            return Ok(Parsed::Partial);
        }
        let start = progress.at as usize;
        let end = start + progress.bulk as usize - 1;
        if input.len() < end + 2 {
            return Ok(Parsed::Partial);
        }
        found(start, end)?;
        *progress = Progress { at: end as u32 + 2, left: progress.left - 1, bulk: 0 };
    }
    Ok(Parsed::Frame(progress.at as usize))
}

/// Reads `$<length>\r\n` at `progress`; `false`: it has not arrived yet.
#[inline]
fn bulk_header(
    input: &[u8],
    progress: &mut Progress,
    max_frame: usize,
) -> Result<bool, ProtocolError> {
    let at = progress.at as usize;
    if let Some((b'$', rest)) = input.get(at..).and_then(<[u8]>::split_first) {
        if let Some((len, header)) = short_length(rest) {
            let body = at + 1 + header;
            if body + len + 2 <= max_frame {
                (progress.at, progress.bulk) = (body as u32, len as u32 + 1);
                return Ok(true);
            }
        }
    }
    any_bulk_header(input, at, progress, max_frame)
}

/// [`bulk_header`] for what is wrong, incomplete or rare.
#[cold]
fn any_bulk_header(
    input: &[u8],
    at: usize,
    progress: &mut Progress,
    max_frame: usize,
) -> Result<bool, ProtocolError> {
    let Some(line) = line_at(input, at, ProtocolError::BulkLine)? else {
        return Ok(false);
    };
    match line.first() {
        Some(b'$') => {}
        other => return Err(ProtocolError::ExpectedBulk(other.copied().unwrap_or(b'\r'))),
    }
    let body = at + line.len() + 2;
    let room = max_frame.saturating_sub(body + 2).min(MAX_BULK);
    let len = integer(&line[1..]).and_then(|len| usize::try_from(len).ok());
    let len = len.filter(|&len| len <= room).ok_or(ProtocolError::BulkLength)?;
    (progress.at, progress.bulk) = (body as u32, len as u32 + 1);
    Ok(true)
}

/// The common header, read in one pass: a length above 0 of at most 8 digits, which is below [`MAX_BULK`], its
/// `\r` and one more byte. The length, and the bytes of it all. `None`: let the long way decide what it is.
#[inline(always)]
fn short_length(rest: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, &byte) in rest.iter().take(9).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let whole = byte == b'\r' && value > 0 && index + 1 < rest.len();
            return whole.then_some((value, index + 2));
        }
        if digit == 0 && value == 0 {
            return None;
        }
        value = value * 10 + digit as usize;
    }
    None
}

/// The line that begins at `at`, without its end, if it and the byte after its `\r` are there.
fn line_at(
    input: &[u8],
    at: usize,
    too_long: ProtocolError,
) -> Result<Option<&[u8]>, ProtocolError> {
    let rest = input.get(at..).unwrap_or_default();
    match memchr(b'\r', rest) {
        Some(len) if len > MAX_LINE => Err(too_long),
        Some(len) if len + 1 < rest.len() => Ok(Some(&rest[..len])),
        None if rest.len() > MAX_LINE => Err(too_long),
        _ => Ok(None),
    }
}

/// Elements of an array; none for a number below zero, as Redis has it.
fn array_length(digits: &[u8]) -> Result<u32, ProtocolError> {
    let count = integer(digits).ok_or(ProtocolError::ArrayLength)?.max(0);
    match usize::try_from(count) {
        Ok(count) if count <= MAX_ARGS => Ok(count as u32),
        _ => Err(ProtocolError::ArrayLength),
    }
}

/// One line of words.
fn parse_inline<C: Scratch>(input: &[u8], args: &mut Args<C>) -> Result<Parsed, ProtocolError> {
    let Some(newline) = memchr(b'\n', input) else {
        let too_long = input.len() > MAX_LINE;
        return if too_long { Err(ProtocolError::InlineLine) } else { Ok(Parsed::Partial) };
    };
    if newline > MAX_LINE {
        return Err(ProtocolError::InlineLine);
    }
    let line = &input[..newline];
    args.clear(true);
    args.line.clear();
    inline::split_words(line.strip_suffix(b"\r").unwrap_or(line), args)?;
    Ok(Parsed::Frame(newline + 1))
}

#[cfg(test)]
#[path = "resp_tests.rs"]
mod tests;
