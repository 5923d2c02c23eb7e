//! Messages longer than a datagram, over UDP: `cargo run -p examples --example udp_fragments`.
//!
//! Each datagram carries a piece of a message, as IP fragments do: which message, where in it, whether it
//! is the last. They arrive out of order, twice, or not at all. [`DatagramReassembler`] puts them together,
//! within limits of count, bytes and time, so that fragments whose message never becomes whole cannot
//! pile up.
#![forbid(unsafe_code)]

use pool_ring::{DatagramLimits, DatagramReassembler, Fragment, OverlapPolicy};
use std::error::Error;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Bytes of a message in one datagram.
const PIECE: usize = 1000;

/// Message number, offset, and whether it is the last piece.
const HEADER: usize = 4 + 4 + 1;

/// The pieces of a message, each with its header.
fn fragments(number: u32, message: &[u8]) -> Vec<Vec<u8>> {
    let count = message.len().div_ceil(PIECE);
    let pieces = message.chunks(PIECE).enumerate().map(|(index, piece)| {
        let mut datagram = Vec::with_capacity(HEADER + piece.len());
        datagram.extend(number.to_be_bytes());
        datagram.extend(((index * PIECE) as u32).to_be_bytes());
        datagram.push(u8::from(index + 1 == count));
        datagram.extend(piece);
        datagram
    });
    pieces.collect()
}

/// What a datagram says, if it is one of ours. Nothing of it is believed: the limits hold anyway.
fn parse(datagram: &[u8]) -> Option<(u32, Fragment<'_>)> {
    let (number, rest) = datagram.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let (last, bytes) = rest.split_first()?;
    let offset = u32::from_be_bytes(*offset) as usize;
    Some((u32::from_be_bytes(*number), Fragment { offset, last: *last == 1, bytes }))
}

/// A message that says its number.
fn message(number: u32) -> Vec<u8> {
    (0..10_000 + number).map(|index| (index + number) as u8).collect()
}

/// Sends a message: shuffled, some pieces twice, and one piece of every tenth message not at all. How many
/// datagrams that were.
fn send(socket: &UdpSocket, to: SocketAddr, number: u32) -> io::Result<usize> {
    let mut pieces = fragments(number, &message(number));
    if number % 10 == 9 {
        pieces.remove(3);
    }
    let len = pieces.len();
    for index in 0..len {
        pieces.swap(index, (index * 7 + number as usize) % len);
    }
    for piece in pieces.iter().chain(&pieces[..2]) {
        socket.send_to(piece, to)?;
    }
    Ok(len + 2)
}

/// A sender of fifty messages and a receiver, in turns: a message fits in the socket's buffer, and fifty of
/// them would not, if the receiver were slow.
pub fn main() -> Result<(), Box<dyn Error>> {
    let (sender, socket) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let to = socket.local_addr()?;

    let limits = DatagramLimits {
        datagrams: 16,
        bytes: 1 << 20,
        age: Duration::from_secs(60),
        datagram_len: 64 << 10,
        ..DatagramLimits::default()
    };
    // What overlaps must say the same, or the datagram is refused.
    let mut table = DatagramReassembler::try_new(limits, OverlapPolicy::Reject)?;
    let (began, mut whole) = (Instant::now(), Vec::new());
    let mut scratch = [0; 2048];
    for number in 0..50 {
        for _ in 0..send(&sender, to, number)? {
            let (len, from) = socket.recv_from(&mut scratch)?;
            let Some((number, fragment)) = parse(&scratch[..len]) else { continue };
            let key = (from, number);
            match table.insert(key, fragment, began.elapsed()) {
                Ok(Some(datagram)) => {
                    assert!(*datagram == message(number), "message {number}");
                    whole.push(number);
                }
                Ok(None) => {}
                Err(error) => println!("message {number}: {error}"),
            }
        }
    }
    let stats = table.stats();
    println!("{} messages whole, {} bytes for those that are not", whole.len(), stats.bytes);
    assert!(whole.iter().all(|number| number % 10 != 9), "a piece of these was never sent");
    assert!(whole.len() >= 45, "every piece of the others was: {whole:?}");
    assert!(stats.bytes <= 1 << 20 && stats.datagrams <= 16);
    Ok(())
}
