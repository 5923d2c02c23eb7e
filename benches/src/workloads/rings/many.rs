//! `frames-10k`: as `frames`, over 10,000 connections in turn; `frames-100k`, `frames-1m` over more,
//! `-random` in an order that nobody can foresee. `requests-10k`: each piece is one frame, so
//! nobody has a part of one when his turn ends.
//!
//! The table's column *bytes* is what belongs to connections and can be used by nobody else: of `frames-10k`
//! after ten turns each, when almost all of them have a part of a frame; of `requests-10k` when all
//! have received whole frames. *held by* is how many have any. *Answers*: as `frames`.

use super::feed::{Feed, Turns};
use super::frames::BUFFER;
use crate::callgrind;
use crate::case::{Case, Held, Point};
use crate::engines::rings::{
    BytesMut, BytesMutSmall, Copied, Deque, Drained, LengthCodec, Nothing, PacketRing,
    PacketRingSoon, RingBuf, Ringbuf, Rtrb, SliceRing,
};
use crate::opaque::hide;
use crate::stream::{Buffers, Connections, Lengths, buffers};
use crate::workloads::POOL_RING;

/// Connections of `frames-10k` and `requests-10k`.
pub const SOME: usize = if cfg!(miri) { 10 } else { 10_000 };
const MORE: usize = 10 * SOME;
const MOST: usize = 100 * SOME;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, turns) in [("frames-10k", Turns::Robin), ("requests-10k", Turns::Whole)] {
        cases.extend([
            some::<Nothing>(name, turns),
            some::<PacketRing>(name, turns),
            some::<PacketRingSoon>(name, turns),
            some::<RingBuf>(name, turns),
            some::<BytesMut>(name, turns),
            some::<BytesMutSmall>(name, turns),
            some::<LengthCodec>(name, turns),
            some::<Deque>(name, turns),
            some::<Drained>(name, turns),
            some::<Ringbuf>(name, turns),
            some::<Rtrb>(name, turns),
            some::<SliceRing>(name, turns),
            some::<Copied>(name, turns),
        ]);
    }
    for (name, turns) in [("frames-100k", Turns::Robin), ("frames-100k-random", Turns::Random)] {
        cases.extend([
            case::<Nothing>(name, MORE, turns).uncounted(),
            case::<PacketRing>(name, MORE, turns).uncounted(),
            case::<PacketRingSoon>(name, MORE, turns).uncounted(),
            case::<BytesMutSmall>(name, MORE, turns).uncounted(),
            case::<Copied>(name, MORE, turns).uncounted(),
        ]);
    }
    for (name, turns) in [("frames-1m", Turns::Robin), ("frames-1m-random", Turns::Random)] {
        cases.extend([
            case::<Nothing>(name, MOST, turns).uncounted(),
            case::<PacketRing>(name, MOST, turns).uncounted(),
            case::<PacketRingSoon>(name, MOST, turns).uncounted(),
            case::<Copied>(name, MOST, turns).uncounted(),
        ]);
    }
    cases
}

fn some<E: Buffers<Lengths>>(name: &'static str, turns: Turns) -> Case {
    let case = case::<E>(name, SOME, turns);
    if E::NAME.starts_with('(') {
        return case;
    }
    let case = case.held_by(move || pinned::<E>(turns));
    if turns == Turns::Robin { case.remembering(day::<E>) } else { case }
}

fn case<E: Buffers<Lengths>>(name: &'static str, connections: usize, turns: Turns) -> Case {
    Case::new::<E>(POOL_RING, name, move || {
        let mut store = E::build(buffers(connections, BUFFER));
        let mut feed = Feed::new::<Lengths>(connections, turns);
        feed.turns(&mut store, 2 * connections);
        Box::new(move |n| feed.run(&mut store, n))
    })
    .sample(20_000)
}

/// Bytes that belong to connections, and to how many.
fn pinned<E: Buffers<Lengths>>(turns: Turns) -> Held {
    let mut store = E::build(buffers(SOME, BUFFER));
    let mut feed = Feed::new::<Lengths>(SOME, Turns::Robin);
    feed.turns(&mut store, 10 * SOME);
    if turns == Turns::Whole {
        feed.settle(&mut store);
    }
    feed.check();
    (store.pinned(), store.holders())
}

/// Samples of a rush, and of each of the two quiet times.
const SAMPLES: usize = 20;

/// By how much the resident memory has grown: while all connections are served for the first time and for a
/// second time, when all of them have whole frames only, and when they are gone.
fn day<E: Buffers<Lengths>>() -> Vec<Point> {
    let resident = || pool_core::process::resident_bytes().expect("the system tells") as u64;
    // Buffers are not touched before they are used.
    callgrind::now_counting();
    let mut feed = hide(Feed::new::<Lengths>(SOME, Turns::Robin));
    resident();
    let before = resident();
    let mut points = Vec::new();
    let mut sample = || points.push((points.len() as u64, resident().saturating_sub(before)));
    let mut store = E::build(buffers(SOME, BUFFER));
    for _ in 0..SAMPLES {
        feed.turns(&mut store, 2 * SOME / SAMPLES);
        sample();
    }
    feed.settle(&mut store);
    (0..SAMPLES / 2).for_each(|_| sample());
    for _ in 0..SAMPLES {
        feed.turns(&mut store, 2 * SOME / SAMPLES);
        sample();
    }
    drop(store);
    (0..SAMPLES / 2).for_each(|_| sample());
    points
}
