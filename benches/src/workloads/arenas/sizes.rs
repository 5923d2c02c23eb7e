//! `sizes`: 1 to 512 bytes at a time, aligned to 8, into a warm arena; after 10,000 it is reset.
//!
//! The sizes are drawn before. Of each object one byte is written.
//! *Answers*: every place is aligned; before, that a whole round's bytes are disjoint.

use super::{OBJECTS, SAMPLE};
use crate::case::Case;
use crate::engines::Null;
use crate::engines::arenas::{Cursor, of_arenas};
use crate::opaque::escape;
use crate::region::{Places, Regions, kept, sized};
use crate::workloads::{POOL_ARENA, Random, rounds};
use std::alloc::Layout;
use std::time::Instant;

const LONGEST: usize = 512;
const ALIGN: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    of_arenas!(case, Null, Cursor)
}

fn case<E>() -> Case
where
    E: for<'a> Regions<Region<'a>: Places>,
{
    Case::new::<E>(POOL_ARENA, "sizes", || {
        let mut random = Random::new();
        let sizes: Vec<usize> = (0..OBJECTS).map(|_| random.below(LONGEST) + 1).collect();
        let room = sizes.iter().map(|size| size.next_multiple_of(ALIGN)).sum();
        let mut region = kept::<E>(sized(room));
        round(&mut region, &sizes);
        if E::NAME != "(loop)" {
            assert_disjoint(&region, &sizes);
        }
        round(&mut region, &[]);
        Box::new(move |n| {
            let mut addresses = 0;
            let start = Instant::now();
            rounds(n, OBJECTS, |count| addresses |= round(&mut region, &sizes[..count]));
            let elapsed = start.elapsed();
            assert_eq!(addresses % ALIGN, 0, "a place is not aligned");
            assert!(addresses != 0 || n == 0, "there was no place");
            elapsed
        })
    })
    .sample(SAMPLE)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("a sane length")
}

fn assert_disjoint<R: Places>(region: &R, sizes: &[usize]) {
    let mut places: Vec<_> =
        sizes.iter().map(|&size| (region.place(layout(size)).addr().get(), size)).collect();
    places.sort_unstable();
    let apart = places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0);
    assert!(apart, "a byte belongs to two objects");
}

/// What is measured.
#[inline(never)]
fn round<R: Places>(region: &mut R, sizes: &[usize]) -> usize {
    let mut addresses = 0;
    for &size in sizes {
        // SAFETY: sizes are from 1 to 512, and 8 is a power of two.
        let layout = unsafe { Layout::from_size_align_unchecked(size, ALIGN) };
        let place = region.place(layout).as_ptr();
        // SAFETY: at least one byte, and it is ours.
        unsafe { place.write(size as u8) };
        escape(place);
        addresses |= place.addr();
    }
    region.reset();
    addresses
}
