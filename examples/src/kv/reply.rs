//! Replies: the encodings of RESP2 and RESP3 over any buffer that can be appended to.
#![forbid(unsafe_code)]

use super::numbers::Digits;
use std::fmt;

/// Memory for a reply or a value could not be had. What was there before is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of memory")]
pub struct OutOfMemory;

impl From<OutOfMemory> for std::io::Error {
    fn from(_: OutOfMemory) -> Self {
        std::io::ErrorKind::OutOfMemory.into()
    }
}

/// Where replies are appended. The memory strategy brings it; [`Reply`] writes the encodings.
#[allow(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait Sink {
    /// Appends bytes, or nothing at all.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory>;

    /// Appends `len` bytes for the caller to write, if the sink has so many that lie together and hold
    /// something already, of earlier replies say: then a reply is written where it goes. `None` says nothing
    /// about memory: [`put`](Self::put) may succeed.
    #[inline]
    fn next(&mut self, len: usize) -> Option<&mut [u8]> {
        let _ = len;
        None
    }

    /// Bytes appended so far.
    fn len(&self) -> usize;

    /// Forgets all but the first `len` bytes; `len` is at most the present length.
    fn truncate(&mut self, len: usize);

    /// What was appended so far, if it lies in one piece.
    fn one_piece(&self) -> Option<&[u8]>;

    /// What was appended so far, in order.
    fn pieces(&self) -> impl Iterator<Item = &[u8]>;
}

/// The version of the protocol that a client has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, until `HELLO 3` comes.
    #[default]
    Resp2,
    /// RESP3, which has maps, sets, a null of its own, and texts with a format.
    Resp3,
}

/// One reply in the making: the encodings of RESP over a [`Sink`].
///
/// Every method appends, and fails with [`OutOfMemory`] if that cannot be; part of the reply may
/// have been appended then.
#[derive(Debug)]
pub struct Reply<'r, K> {
    sink: &'r mut K,
    /// The protocol of what is appended from now on.
    pub protocol: Protocol,
}

type Written = Result<(), OutOfMemory>;

#[allow(clippy::missing_errors_doc, reason = "said once, at the type")]
impl<'r, K: Sink> Reply<'r, K> {
    /// A reply to a client that speaks `protocol`.
    #[inline]
    pub const fn new(sink: &'r mut K, protocol: Protocol) -> Self {
        Self { sink, protocol }
    }

    /// Where it is appended.
    #[inline]
    pub(super) const fn sink(&mut self) -> &mut K {
        self.sink
    }

    /// Bytes in the sink, earlier replies included.
    #[inline]
    #[must_use]
    pub fn mark(&self) -> usize {
        self.sink.len()
    }

    /// Takes back what came after [`mark`](Self::mark).
    pub fn back_to(&mut self, mark: usize) {
        self.sink.truncate(mark);
    }

    /// `+text`.
    #[inline]
    pub fn simple(&mut self, text: &str) -> Written {
        self.sink.put(b"+")?;
        self.sink.put(text.as_bytes())?;
        self.sink.put(b"\r\n")
    }

    /// `+OK`, the most frequent of them.
    #[inline]
    pub fn ok(&mut self) -> Written {
        self.sink.put(b"+OK\r\n")
    }

    /// `-` and the parts of a text; line ends within become blanks, as in Redis, so that a client's
    /// own bytes cannot end the reply.
    pub fn error(&mut self, parts: &[&[u8]]) -> Written {
        self.sink.put(b"-")?;
        for part in parts {
            for (index, piece) in part.split(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
                self.sink.put(if index == 0 { b"" } else { b" " })?;
                self.sink.put(piece)?;
            }
        }
        self.sink.put(b"\r\n")
    }

    /// `:value`.
    #[inline]
    pub fn integer(&mut self, value: i64) -> Written {
        match u64::try_from(value) {
            Ok(value) => self.header(b':', value),
            Err(_) => self.raw_integer(Digits::new(value).as_slice()),
        }
    }

    /// `:value`, for what is counted.
    #[inline]
    pub fn count(&mut self, value: usize) -> Written {
        self.header(b':', value as u64)
    }

    /// `*count`; so many replies follow.
    #[inline]
    pub fn array(&mut self, count: usize) -> Written {
        self.header(b'*', count as u64)
    }

    /// A map of `count` pairs; twice as many replies follow. In RESP2 it is an array of these.
    pub fn map(&mut self, count: usize) -> Written {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * count as u64),
            Protocol::Resp3 => self.header(b'%', count as u64),
        }
    }

    /// A set; in RESP2 an array.
    pub fn set(&mut self, count: usize) -> Written {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', count as u64),
            Protocol::Resp3 => self.header(b'~', count as u64),
        }
    }

    /// A string of bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) -> Written {
        self.bulk_here(bytes)
    }

    /// [`bulk`](Self::bulk) without a call, for the most frequent command.
    #[inline(always)]
    pub fn bulk_here(&mut self, bytes: &[u8]) -> Written {
        let header = count_digits(bytes.len() as u64) + 3;
        // Neither the lengths of slices nor their sums with so little more overflow.
        let Some(room) = self.sink.next(header + bytes.len() + 2) else {
            return self.bulk_in_parts(bytes);
        };
        let (header, rest) = room.split_at_mut(header);
        write_header(b'$', bytes.len() as u64, header);
        let (body, end) = rest.split_at_mut(bytes.len());
        body.copy_from_slice(bytes);
        end.copy_from_slice(b"\r\n");
        Ok(())
    }

    /// [`bulk`](Self::bulk) where there is no such room.
    #[inline]
    fn bulk_in_parts(&mut self, bytes: &[u8]) -> Written {
        self.header(b'$', bytes.len() as u64)?;
        self.sink.put(bytes)?;
        self.sink.put(b"\r\n")
    }

    /// A text for people; in RESP2 a string of bytes.
    pub fn verbatim(&mut self, text: &[u8]) -> Written {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() as u64 + 4)?;
                self.sink.put(b"txt:")?;
                self.sink.put(text)?;
                self.sink.put(b"\r\n")
            }
        }
    }

    /// No value.
    #[inline]
    pub fn null(&mut self) -> Written {
        match self.protocol {
            Protocol::Resp2 => self.sink.put(b"$-1\r\n"),
            Protocol::Resp3 => self.sink.put(b"_\r\n"),
        }
    }

    /// No list, where one was asked for.
    pub fn null_array(&mut self) -> Written {
        match self.protocol {
            Protocol::Resp2 => self.sink.put(b"*-1\r\n"),
            Protocol::Resp3 => self.sink.put(b"_\r\n"),
        }
    }

    /// `,` and a number that is text already; RESP3 alone has it.
    pub fn double(&mut self, text: &[u8]) -> Written {
        self.sink.put(b",")?;
        self.sink.put(text)?;
        self.sink.put(b"\r\n")
    }

    /// `:` and a number that is text already.
    pub fn raw_integer(&mut self, digits: &[u8]) -> Written {
        self.sink.put(b":")?;
        self.sink.put(digits)?;
        self.sink.put(b"\r\n")
    }

    /// A reply that is written already.
    pub fn raw(&mut self, reply: &[u8]) -> Written {
        self.sink.put(reply)
    }

    /// A kind, a number and a line end, in one append.
    #[inline]
    fn header(&mut self, kind: u8, value: u64) -> Written {
        let mut text = [0; 23];
        text[21..].copy_from_slice(b"\r\n");
        let at = digits(value, &mut text[1..21]);
        text[at] = kind;
        self.sink.put(&text[at..])
    }
}

/// How many digits a number has.
#[inline]
fn count_digits(value: u64) -> usize {
    match value {
        0..10 => 1,
        10..100 => 2,
        _ => value.ilog10() as usize + 1,
    }
}

/// Writes a kind, a number and a line end into `text`, which they fill.
#[inline]
fn write_header(kind: u8, value: u64, text: &mut [u8]) {
    if let Some((text, end)) = text.split_last_chunk_mut() {
        *end = *b"\r\n";
        digits(value, text);
        text[0] = kind;
    }
}

/// Two digits, by what they say.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < pairs.len() {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// Writes a number into the end of `text`, which has room for it; where it begins.
#[inline]
pub fn digits(mut value: u64, text: &mut [u8]) -> usize {
    let mut at = text.len();
    if let (10..100, Some(end)) = (value, text.last_chunk_mut()) {
        // The most frequent of lengths and counts.
        *end = PAIRS[value as usize];
        return at - 2;
    }
    loop {
        at -= 1;
        text[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return at;
        }
    }
}

/// Bytes shown for people and logs: `1.50M`, as `INFO` of Redis has it.
#[derive(Clone, Copy, Debug)]
pub struct Human(pub usize);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, 0);
        while value >= 1024.0 && unit < 4 {
            value /= 1024.0;
            unit += 1;
        }
        match unit {
            0 => write!(f, "{}B", self.0),
            _ => write!(f, "{value:.2}{}", ['B', 'K', 'M', 'G', 'T'][unit]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Reply<'_, &mut Vec<u8>>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Reply::new(&mut &mut bytes, protocol));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_of_every_length() {
        for value in (0..63).map(|shift| 1 << shift).chain([0, 9, 10, 99, 100, i64::MAX]) {
            for value in [value, -value, i64::MIN] {
                let out = written(Protocol::Resp2, |reply| reply.integer(value).unwrap());
                assert_eq!(out, format!(":{value}\r\n"));
            }
        }
        let out = written(Protocol::Resp2, |reply| reply.count(usize::MAX).unwrap());
        assert_eq!(out, format!(":{}\r\n", usize::MAX));
    }

    /// A sink with room that it has written before.
    struct Used([u8; 64], usize);

    impl Sink for Used {
        fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
            self.next(bytes.len()).ok_or(OutOfMemory)?.copy_from_slice(bytes);
            Ok(())
        }

        fn next(&mut self, len: usize) -> Option<&mut [u8]> {
            let room = self.0[self.1..].get_mut(..len)?;
            self.1 += len;
            Some(room)
        }

        fn len(&self) -> usize {
            self.1
        }

        fn truncate(&mut self, len: usize) {
            self.1 = len;
        }

        fn one_piece(&self) -> Option<&[u8]> {
            Some(&self.0[..self.1])
        }

        fn pieces(&self) -> impl Iterator<Item = &[u8]> {
            self.one_piece().into_iter()
        }
    }

    #[test]
    fn a_string_is_the_same_wherever_it_is_written() {
        let bytes = [b'x'; 1000];
        for len in 0..=1000 {
            let mut used = Used([b'#'; 64], 0);
            let fits = Reply::new(&mut used, Protocol::Resp2).bulk(&bytes[..len]);
            let expected = written(Protocol::Resp2, |reply| reply.bulk(&bytes[..len]).unwrap());
            assert_eq!(fits.is_ok(), expected.len() <= 64, "{len}");
            if fits.is_ok() {
                assert_eq!(used.one_piece(), Some(expected.as_bytes()));
            }
        }
    }

    #[test]
    fn digits_are_counted() {
        for value in (0..64).map(|shift| 1 << shift).chain([0, 9, 10, 99, 100, 999, u64::MAX]) {
            assert_eq!(count_digits(value), value.to_string().len());
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let out = written(Protocol::Resp2, |reply| reply.error(&[b"ERR a\r\nb", b"\n"]).unwrap());
        assert_eq!(out, "-ERR a  b \r\n");
    }

    #[test]
    fn each_protocol_has_its_forms() {
        fn all(reply: &mut Reply<'_, &mut Vec<u8>>) {
            reply.null().unwrap();
            reply.map(2).unwrap();
            reply.set(2).unwrap();
            reply.verbatim(b"hi").unwrap();
        }
        assert_eq!(written(Protocol::Resp2, all), "$-1\r\n*4\r\n*2\r\n$2\r\nhi\r\n");
        assert_eq!(written(Protocol::Resp3, all), "_\r\n%2\r\n~2\r\n=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn sizes_read_as_in_redis() {
        assert_eq!(Human(1023).to_string(), "1023B");
        assert_eq!(Human(3 << 19).to_string(), "1.50M");
    }
}
