//! Puts IPv4 fragments together: of a capture file (pcap, Ethernet or raw IP), or, without one, of a datagram that it cuts
//! up itself, with pieces out of order, twice, and one that says something else than the first.
//!
//! ```text
//! cargo run --example defrag -- capture.pcap
//! cargo run --example defrag
//! ```

use pool_ring::{DatagramError, DatagramLimits, DatagramReassembler, Fragment, OverlapPolicy};
use std::error::Error;
use std::time::Duration;

/// Source, destination, identification, protocol.
type Key = ([u8; 4], [u8; 4], u16, u8);

/// The header of an IPv4 packet, and what it carries.
fn parse(packet: &[u8]) -> Option<(Key, Fragment<'_>)> {
    let header = packet.first_chunk::<20>()?;
    let (version, words) = (header[0] >> 4, usize::from(header[0] & 15));
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let flags = u16::from_be_bytes([header[6], header[7]]);
    let address = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
    let key = (address(12), address(16), u16::from_be_bytes([header[4], header[5]]), header[9]);
    let bytes = packet.get(words * 4..total)?;
    let fragment =
        Fragment { offset: usize::from(flags & 0x1fff) * 8, last: flags & 0x2000 == 0, bytes };
    (version == 4 && words >= 5).then_some((key, fragment))
}

/// The packets of a capture, with the time since the first one.
fn packets(file: &[u8]) -> Result<Vec<(Duration, &[u8])>, &'static str> {
    let word = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?));
    if word(0) != Some(0xa1b2_c3d4) {
        return Err("no little-endian pcap of microseconds");
    }
    let link = match word(20) {
        Some(1) => 14,
        Some(101) => 0,
        _ => return Err("neither Ethernet nor raw IP"),
    };
    let (mut at, mut all, mut first) = (24, Vec::new(), None);
    while let (Some(seconds), Some(micros), Some(len)) = (word(at), word(at + 4), word(at + 8)) {
        let time = Duration::new(seconds.into(), micros.saturating_mul(1000).min(999_999_999));
        let packet = file.get(at + 16..).and_then(|rest| rest.get(..len as usize));
        let packet = packet.ok_or("a packet that is cut off")?;
        all.push((
            time.saturating_sub(*first.get_or_insert(time)),
            packet.get(link..).unwrap_or(&[]),
        ));
        at += 16 + len as usize;
    }
    Ok(all)
}

/// A capture of one datagram in pieces.
fn invented() -> Vec<u8> {
    let data: Vec<u8> = (0..4000u32).map(|n| b'a' + (n / 8 % 26) as u8).collect();
    let mut file = Vec::new();
    let mut words = |words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 101]);
    let pieces = [(2960, 4000), (0, 1480), (0, 1480), (1400, 2000), (1480, 2960)];
    for (n, (start, end)) in pieces.into_iter().enumerate() {
        let mut packet = vec![0x45, 0];
        packet.extend((20 + end as u16 - start as u16).to_be_bytes());
        packet.extend([0, 7]);
        let more = if end < 4000 { 0x2000 } else { 0 };
        packet.extend((more | (start as u16 / 8)).to_be_bytes());
        packet.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let mut bytes = data[start..end].to_vec();
        if n == 3 {
            bytes.fill(b'!'); // overlaps the piece before it, and lies
        }
        packet.extend(bytes);
        file.extend(
            [n as u32, 0, packet.len() as u32, packet.len() as u32]
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        );
        file.extend(packet);
    }
    file
}

fn main() -> Result<(), Box<dyn Error>> {
    let file = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => invented(),
    };
    for policy in OverlapPolicy::ALL {
        let mut table = DatagramReassembler::<Key>::try_new(DatagramLimits::default(), policy)?;
        let mut refused = 0;
        for (now, packet) in packets(&file)? {
            let Some((key, fragment)) = parse(packet) else { continue };
            if fragment.offset == 0 && fragment.last {
                continue; // whole from the start
            }
            match table.insert(key, fragment, now) {
                Ok(Some(datagram)) => {
                    let lies = datagram.iter().filter(|&&byte| byte == b'!').count();
                    println!(
                        "{policy:?}: {key:?} is whole: {} bytes, {lies} of them '!'",
                        datagram.len()
                    );
                }
                Ok(None) => {}
                Err(DatagramError::Refused(error)) => {
                    refused += 1;
                    println!("{policy:?}: {key:?} refused: {error}");
                }
                Err(error) => println!("{policy:?}: {key:?} {error}"),
            }
        }
        println!("{policy:?}: {refused} refused, {:?}", table.stats());
    }
    Ok(())
}
