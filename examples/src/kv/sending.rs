//! Replies: written from where they are, and queued only if the socket does not take them.
#![forbid(unsafe_code)]

use mio::net::TcpStream;
use std::io::{self, ErrorKind, IoSlice, Write};

/// Pieces of replies that one write takes.
const PIECES: usize = 16;

/// What is left of the pieces without their first `len` bytes.
pub(super) fn behind<'p>(
    pieces: impl Iterator<Item = &'p [u8]>,
    mut len: usize,
) -> impl Iterator<Item = &'p [u8]> {
    pieces.filter_map(move |piece| {
        let skipped = len.min(piece.len());
        len -= skipped;
        Some(&piece[skipped..]).filter(|rest| !rest.is_empty())
    })
}

/// Writes the pieces, `total` bytes of them, until the socket takes no more; how much it took.
pub(super) fn write_now<'p, I: Iterator<Item = &'p [u8]>>(
    socket: &mut TcpStream,
    pieces: impl Fn() -> I,
    total: usize,
) -> io::Result<usize> {
    let mut sent = 0;
    while sent < total {
        match write_some(socket, behind(pieces(), sent)) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// One write of as many pieces as it takes. One alone, the most frequent case, needs no list.
fn write_some<'p>(
    socket: &mut TcpStream,
    mut pieces: impl Iterator<Item = &'p [u8]>,
) -> io::Result<usize> {
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else { return socket.write(first) };
    let mut slices = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip([first, second].into_iter().chain(pieces)) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    socket.write_vectored(&slices[..count])
}
