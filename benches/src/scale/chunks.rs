//! An arena whose first chunk is ever larger, filled with objects of 64 bytes and reset.

use super::{Growth, Sample, median, resident, sizes};
use crate::engine::{Engine, Setup};
use crate::engines::arenas::{Arena, Bumpalo};
use crate::opaque::escape;
use crate::region::{Places, Regions};
use std::alloc::Layout;
use std::time::Instant;

const LAYOUT: Layout = Layout::new::<[u64; 8]>();

pub(super) fn growths() -> Vec<Growth> {
    vec![growth::<Arena>(), growth::<Bumpalo>()]
}

fn growth<E>() -> Growth
where
    E: for<'a> Regions<Region<'a>: Places> + Engine,
{
    Growth {
        name: "chunk",
        engine: E::NAME,
        ours: E::OURS,
        across: "bytes of a chunk",
        each: "object of 64",
        sizes: sizes(1 << 10, 1 << 30, 4),
        counted: if E::OURS { 64 << 20 } else { 0 },
        measure: Box::new(measure::<E>),
    }
}

fn measure<E>(size: u64) -> Sample
where
    E: for<'a> Regions<Region<'a>: Places>,
{
    let chunk = size as usize;
    let objects = chunk / LAYOUT.size();
    let store = E::build(Setup { chunk, capacity: chunk });
    let mut region = E::open(&store);
    resident();
    let before = resident();
    fill(&mut region, objects);
    let bytes = resident().saturating_sub(before) as f64 / objects as f64;
    // Small chunks are filled more than once, that the clock sees something.
    let times = (1_usize << 20).div_ceil(objects);
    let ns = median(|| {
        let start = Instant::now();
        for _ in 0..times {
            fill(&mut region, objects);
        }
        ((times * objects) as u64, start.elapsed())
    });
    let operations = (times * objects) as u64;
    Sample { size, ns, bytes, operations, instructions: None }
}

/// What is measured.
#[inline(never)]
fn fill(region: &mut impl Places, objects: usize) {
    for number in 0..objects {
        let place = region.place(LAYOUT);
        // SAFETY: 64 bytes, aligned to 8, and ours.
        unsafe { place.cast::<u64>().write(number as u64) };
        escape(place.as_ptr());
    }
    region.reset();
}
