//! Frames that trickle in are copied a constant number of times, wherever they are cut, and whoever is read in between.

use pool_core::Heap;
use pool_ring::PacketRingBuilder;
use pool_ring::frame::{Decoder, Delimiter, FixedLen, FrameError, LengthPrefix, Lines};

/// Feeds one frame in these pieces, with or without another connection in between; returns how many bytes were copied.
fn copied<D>(codec: &mut D, pieces: &[&[u8]], between: bool) -> u64
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8], Error = FrameError>,
{
    let heap = Heap::new();
    let mut ring = PacketRingBuilder::new().budget(8 << 20).try_build_in(&heap).unwrap();
    let (mut conn, mut other) = (ring.open(0), ring.open(1));
    let (mut found, mut others, mut lines) = (0, 0, Lines::new(100));
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() {
            let mut batch = ring.feed(&mut conn, codec, &mut piece).unwrap();
            while let Some(frame) = batch.next().unwrap() {
                assert!(frame.len() > 400);
                found += 1;
            }
        }
        if between {
            // What rests is stored now.
            let mut batch = ring.feed(&mut other, &mut lines, &mut &b"x\n"[..]).unwrap();
            assert_eq!(batch.next(), Ok(Some(&b"x"[..])));
            others += 1;
        }
    }
    assert_eq!((found, others), (1, if between { pieces.len() } else { 0 }));
    assert_eq!(ring.stats().used, 0);
    ring.stats().copied
}

/// Announced or not, small or large.
#[test]
fn trickling_is_linear() {
    for len in [500usize, 10_000, 100_000, 1_000_000] {
        let step = len / 250;
        let mut frame = (len as u32 - 5).to_be_bytes().to_vec();
        frame.resize(len - 2, b'x');
        frame.extend(b"\r\n");
        let pieces: Vec<&[u8]> = frame.chunks(step).collect();
        for between in [false, true] {
            let announced = copied(&mut LengthPrefix::u32(len).adjust(1), &pieces, between);
            let fixed = copied(&mut FixedLen::new(len), &pieces, between);
            // Small: in and out, and the header once more. Large: into chunks up to 16 KiB, and those once more into the block.
            let most = if len <= 16 << 10 { 2 * len + 8 } else { 2 * (16 << 10) + 8 + step };
            assert!(announced <= most as u64, "{len} {between}: {announced}");
            assert!(fixed <= most as u64, "{len} {between}: {fixed}");
            for found in [
                copied(&mut Lines::new(len), &pieces, between),
                copied(&mut Delimiter::new(b"x\r\n", len), &pieces, between),
            ] {
                assert!(found <= 3 * len as u64, "{len} {between}: {found}");
            }
        }
    }
}

/// Cut so that the last chunk of what is kept has one byte, and that one may be within a delimiter.
#[test]
fn delimiters_over_the_ends_of_chunks_cost_no_copies() {
    let long = [b'='; 300];
    for (delimiter, end) in [(&b"\r\n\r\n"[..], &b"\r"[..]), (b"=--", b"-"), (&long, b"=")] {
        let (end, begin) = (end[0], delimiter[1]);
        let mut frame = Vec::new();
        let mut cuts = vec![0];
        for n in 1..64 {
            frame.resize(256 * n, b'x');
            frame.push(end);
            cuts.push(frame.len());
            frame.push(begin);
        }
        frame.push(b'x');
        frame.extend(delimiter);
        let ends = cuts[1..].iter().copied().chain([frame.len()]);
        let pieces: Vec<&[u8]> =
            cuts.iter().zip(ends).map(|(&from, to)| &frame[from..to]).collect();
        for between in [false, true] {
            let copied = copied(&mut Delimiter::new(delimiter, 1 << 20), &pieces, between);
            assert!(copied <= 2 * frame.len() as u64 + 2, "{delimiter:?} {between}: {copied}");
        }
    }
}

/// Headers that stand behind the first chunk are read where they are: what trickles in is copied once.
#[test]
fn frames_with_far_headers_cost_what_they_are() {
    let heap = Heap::new();
    for (offset, varint) in [(50, false), (60, false), (64, false), (126, true), (1000, true)] {
        let codec = if varint { LengthPrefix::varint(1 << 16) } else { LengthPrefix::u16(1 << 16) };
        let mut codec = codec.offset(offset).skip(0);
        let mut frame = vec![b'h'; offset];
        frame.extend(if varint { [0xd0, 0x0f] } else { 2000_u16.to_be_bytes() });
        frame.resize(offset + 2002, b'b');
        let mut ring = PacketRingBuilder::new().chunk(64).try_build_in(&heap).unwrap();
        let (mut conn, mut other) = (ring.open(0), ring.open(1));
        for (n, byte) in frame.iter().enumerate() {
            drop(ring.feed(&mut other, &mut codec, &mut &b"x"[..]).unwrap());
            ring.close(&mut other);
            let before = ring.stats().copied;
            let mut batch = ring.feed(&mut conn, &mut codec, &mut &[*byte][..]).unwrap();
            let whole = batch.next().unwrap().map(<[u8]>::len);
            drop(batch);
            assert_eq!(whole, (n + 1 == frame.len()).then_some(frame.len()));
            let copied = ring.stats().copied - before;
            // Looked at together while the header comes, and at the end.
            let few = n < 64 || (offset..=offset + 2).contains(&n) || n + 1 == frame.len();
            assert!(few || copied <= 2, "{copied} bytes copied for byte {n}");
        }
    }
}
