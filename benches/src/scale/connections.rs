//! Ever more connections that receive pieces of frames in turn.

use super::{Growth, Sample, median, resident, sizes};
use crate::engines::rings::{BytesMutSmall, PacketRing, PacketRingSoon};
use crate::stream::{Buffers, Lengths, buffers};
use crate::workloads::rings::feed::{Feed, Turns};
use crate::workloads::rings::frames::BUFFER;

/// Frames of a round.
const ROUND: u64 = 100_000;

pub(super) fn growths() -> Vec<Growth> {
    vec![
        growth::<PacketRing>(1_000_000),
        growth::<PacketRingSoon>(1_000_000),
        growth::<BytesMutSmall>(100_000),
    ]
}

fn growth<E: Buffers<Lengths>>(most: u64) -> Growth {
    Growth {
        name: "connections",
        engine: E::NAME,
        ours: E::OURS,
        across: "connections",
        each: "connection",
        sizes: sizes(100, most, 10),
        counted: if E::OURS { 100_000 } else { 0 },
        measure: Box::new(measure::<E>),
    }
}

fn measure<E: Buffers<Lengths>>(size: u64) -> Sample {
    let mut feed = Feed::new::<Lengths>(size as usize, Turns::Robin);
    resident();
    let before = resident();
    let mut store = E::build(buffers(size as usize, BUFFER));
    feed.turns(&mut store, (4 * size as usize).max(10_000));
    let bytes = resident().saturating_sub(before) as f64 / size as f64;
    let ns = median(|| (ROUND, feed.run(&mut store, ROUND)));
    feed.check();
    Sample { size, ns, bytes, operations: ROUND, instructions: None }
}
