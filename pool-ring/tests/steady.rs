//! Rings in steady state make no system call and no page fault, be they in use for long or made and dropped again: counted, in
//! child processes.
#![cfg(all(target_os = "linux", not(miri)))]

#[path = "../../pool-core/tests/common/steady.rs"]
mod proof;

use pool_core::{Global, Heap, LocalCache, Mmap, PageSource};
use pool_ring::frame::LengthPrefix;
use pool_ring::{MirrorOr, RingBuf};
use proof::{CANNOT_FORBID, exit, forbid_calls, in_child};
use std::cell::RefCell;

const ROUNDS: usize = 20_000;
const LENS: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];

/// A frame of 700 bytes, and its header.
static FRAME: [u8; 702] = {
    let mut frame = [7; 702];
    (frame[0], frame[1]) = (2, 188);
    frame
};

/// A ring of each length is made, filled and dropped. In debug builds each byte takes long: all pages are written, not all bytes.
fn short_lives<S: PageSource>(source: &S, count: usize) {
    for round in 0..count {
        for len in LENS {
            let Ok(mut ring) = RingBuf::try_with_capacity_in(len, source) else { exit(2) };
            for page in ring.spare_capacity_mut().chunks_mut(4096) {
                page[0].write(round as u8);
            }
            ring.push(&FRAME);
        }
    }
}

/// Frames come through one ring in reads that end anywhere, lap after lap.
fn long_life<S: PageSource + Clone>(ring: &RefCell<RingBuf<S>>, count: usize) {
    let (mut ring, mut frames) = (ring.borrow_mut(), LengthPrefix::u16(1000));
    let mut at = 0;
    for round in 0..count {
        let read = at + 1 + round * 37 % (FRAME.len() - at);
        if ring.read_from(&mut &FRAME[at..read]).ok() != Some(read - at) {
            exit(4);
        }
        at = read % FRAME.len();
        // One is left in it now and then, so that it wraps.
        while ring.len() > FRAME.len() * (round % 4) {
            match ring.decode(&mut frames) {
                Ok(Some(frame)) if frame.len() == 700 => {}
                Ok(None) => break,
                _ => exit(5),
            }
        }
    }
    // Begin with a whole frame the next time.
    ring.clear();
}

/// Both kinds of life. All is made in the child, for rings whose pages show twice are not a child's.
fn steady<S: PageSource>(source: impl Fn() -> S, mirrored: bool) {
    proof::steady(&source, ROUNDS, short_lives);
    let ring = || {
        // A child ends without giving anything back.
        let source: &S = Box::leak(Box::new(source()));
        match RingBuf::try_with_capacity_in(4096, source) {
            Ok(ring) if ring.is_mirrored() == mirrored => RefCell::new(ring),
            _ => exit(6),
        }
    };
    proof::steady(ring, ROUNDS, long_life);
}

#[test]
fn the_proof_can_fail() {
    let killed = in_child(|| {
        let source = MirrorOr::new(Heap::new());
        short_lives(&source, 10);
        forbid_calls();
        // Nothing is kept, so that the next ring is mapped anew.
        source.trim();
        short_lives(&source, 1);
    });
    assert!([Err(libc::SIGSYS), Ok(CANNOT_FORBID)].contains(&killed), "{killed:?}");
}

#[test]
fn mirrored_rings() {
    steady(|| MirrorOr::new(Heap::new()), true);
}

#[test]
fn linear_rings() {
    steady(|| LocalCache::new(Mmap::new()), false);
}

#[test]
fn linear_rings_over_the_process_wide_source() {
    steady(|| Global, false);
}
