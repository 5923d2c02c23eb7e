//! Any bytes as a stream, cut anywhere, through each decoder: what comes out piece by piece is what
//! comes out of the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_core::Heap;
use pool_ring::RingBuf;
use pool_ring::frame::{Decoded, Decoder, Delimiter, FixedLen, FrameError, LengthPrefix, Lines};

fn check<D>(mut decoder: D, bytes: &[u8], cut: usize)
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8], Error = FrameError>,
{
    let (mut rest, mut whole) = (bytes, Vec::new());
    let end = loop {
        if rest.is_empty() {
            break Ok(0);
        }
        match decoder.decode(rest) {
            Ok(Decoded::Frame { frame, consumed }) => {
                assert!(consumed > 0 && consumed <= rest.len());
                whole.push(frame);
                rest = &rest[consumed..];
            }
            Ok(Decoded::NeedMore(_)) => break Ok(rest.len()),
            Err(error) => break Err(error),
        }
    };
    let heap = Heap::new();
    let mut ring = RingBuf::new_in(&heap);
    let mut frames = whole.into_iter();
    for piece in bytes.chunks(cut) {
        ring.extend_from_slice(piece).unwrap();
        loop {
            match ring.decode(&mut decoder) {
                Ok(Some(frame)) => assert_eq!(Some(frame), frames.next()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!((Err(error), frames.next()), (end, None));
                    return;
                }
            }
        }
    }
    assert_eq!((end, frames.next()), (Ok(ring.len()), None));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[choice, cut, max, adjust], bytes)) = bytes.split_first_chunk() else { return };
    let (cut, max) = (usize::from(cut).max(1), usize::from(max));
    let adjusted = |prefix: LengthPrefix| {
        let prefix = prefix.adjust(i64::from(adjust as i8)).offset(usize::from(choice >> 6));
        if adjust % 3 == 0 { prefix.little_endian() } else { prefix.skip(usize::from(adjust % 5)) }
    };
    match choice % 10 {
        0 => check(adjusted(LengthPrefix::u8(max)), bytes, cut),
        1 => check(adjusted(LengthPrefix::u16(max)), bytes, cut),
        2 => check(adjusted(LengthPrefix::u24(max)), bytes, cut),
        3 => check(adjusted(LengthPrefix::u32(max)), bytes, cut),
        4 => check(adjusted(LengthPrefix::u64(max)), bytes, cut),
        5 => check(adjusted(LengthPrefix::varint(max)), bytes, cut),
        6 => check(Lines::new(max), bytes, cut),
        7 => check(Delimiter::new(b"\0\xff", max), bytes, cut),
        8 => check(Delimiter::new(b"aab", max), bytes, cut),
        _ => check(FixedLen::new(max.max(1)), bytes, cut),
    }
});
