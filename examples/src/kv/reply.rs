//! Replies: the RESP2 encodings over any buffer that can be appended to.
#![forbid(unsafe_code)]

use std::fmt;

/// Memory for a reply or a value could not be had. What was there before is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of memory")]
pub struct OutOfMemory;

/// A buffer that replies are appended to. The memory strategy brings the first three methods; the
/// encodings come with them.
pub trait Reply {
    /// Appends bytes, or nothing at all.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory>;

    /// What was appended so far.
    fn as_slice(&self) -> &[u8];

    /// Forgets all but the first `len` bytes; `len` is at most the present length.
    fn truncate(&mut self, len: usize);

    /// `+text`.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    #[inline]
    fn simple(&mut self, text: &str) -> Result<(), OutOfMemory> {
        self.put(b"+")?;
        self.put(text.as_bytes())?;
        self.put(b"\r\n")
    }

    /// `-text`; line ends within the text become blanks, as in Redis, so that a client's own bytes
    /// cannot end the reply.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    fn error(&mut self, text: &[u8]) -> Result<(), OutOfMemory> {
        self.put(b"-")?;
        for (index, piece) in text.split(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
            self.put(if index == 0 { b"" } else { b" " })?;
            self.put(piece)?;
        }
        self.put(b"\r\n")
    }

    /// `:value`.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    #[inline]
    fn integer(&mut self, value: u64) -> Result<(), OutOfMemory> {
        self.header(b':', value)
    }

    /// `*count`; so many replies follow.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    fn array(&mut self, count: usize) -> Result<(), OutOfMemory> {
        self.header(b'*', count as u64)
    }

    /// A string of bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    #[inline]
    fn bulk(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.header(b'$', bytes.len() as u64)?;
        self.put(bytes)?;
        self.put(b"\r\n")
    }

    /// No value.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    #[inline]
    fn null(&mut self) -> Result<(), OutOfMemory> {
        self.put(b"$-1\r\n")
    }

    /// A type byte, a number and a line end, in one append.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    #[inline]
    fn header(&mut self, kind: u8, mut value: u64) -> Result<(), OutOfMemory> {
        let mut text = [0; 23];
        let mut at = text.len() - 2;
        text[at..].copy_from_slice(b"\r\n");
        loop {
            at -= 1;
            text[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        text[at - 1] = kind;
        self.put(&text[at - 1..])
    }
}

impl Reply for &mut Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.try_reserve(bytes.len()).map_err(|_| OutOfMemory)?;
        self.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        self
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        Vec::truncate(self, len);
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

    #[test]
    fn numbers_of_every_length() {
        for value in (0..64).map(|shift| 1 << shift).chain([0, 9, 10, 99, 100, u64::MAX]) {
            let mut out = Vec::new();
            (&mut out).integer(value).unwrap();
            assert_eq!(out, format!(":{value}\r\n").into_bytes());
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let mut out = Vec::new();
        (&mut out).error(b"ERR a\r\nb\n").unwrap();
        assert_eq!(out, b"-ERR a  b \r\n");
    }

    #[test]
    fn sizes_read_as_in_redis() {
        assert_eq!(Human(1023).to_string(), "1023B");
        assert_eq!(Human(3 << 19).to_string(), "1.50M");
    }
}
