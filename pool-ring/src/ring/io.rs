//! `RingBuf` as a `Read`, a `Write` and a `BufRead`, and between such.
#![forbid(unsafe_code)]

use super::RingBuf;
use pool_core::PageSource;
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};

impl<S: PageSource + Clone> RingBuf<S> {
    /// Reads once from `source` into the spare bytes, and returns how many came; 0 at the end of the
    /// stream.
    ///
    /// A safe `Read` must be given initialised bytes: what was never written is zeroed first, once in the life of its
    /// pages.
    ///
    /// # Errors
    /// What `source` says (an interrupted read is repeated); [`ErrorKind::StorageFull`] if there is no room.
    #[inline]
    pub fn read_from<R: Read + ?Sized>(&mut self, source: &mut R) -> io::Result<usize> {
        let read = self.fill_by(|room| {
            loop {
                match source.read(room) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        });
        match read {
            Some(result) => result,
            None => Err(full()),
        }
    }

    /// Writes once to `sink`, takes out what it took, and returns how much that was.
    ///
    /// # Errors
    /// What `sink` says (an interrupted write is repeated); nothing was taken out then.
    pub fn write_to<W: Write + ?Sized>(&mut self, sink: &mut W) -> io::Result<usize> {
        let n = loop {
            match sink.write(self.peek()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?.min(self.len()),
            }
        };
        self.consume(n);
        Ok(n)
    }
}

#[cold]
pub(super) fn full() -> io::Error {
    io::Error::new(ErrorKind::StorageFull, "the ring is full: consume or reserve")
}

/// Takes bytes out of the front.
impl<S: PageSource + Clone> Read for RingBuf<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(self.len());
        out[..n].copy_from_slice(&self.peek()[..n]);
        Self::consume(self, n);
        Ok(n)
    }
}

impl<S: PageSource + Clone> BufRead for RingBuf<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.peek())
    }

    fn consume(&mut self, n: usize) {
        Self::consume(self, n);
    }
}

/// Puts as much in as there is room for: 0 if the ring is full.
impl<S: PageSource + Clone> Write for RingBuf<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.push(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut written = 0;
        for bytes in slices {
            let n = self.push(bytes);
            written += n;
            if n < bytes.len() {
                break;
            }
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
