//! `push-100k`: 100,000 `u32` are pushed into a vector that does not know how many they will be, in
//! a warm arena, which is then reset. An operation is a push.
//!
//! *Answers*: length and last item of each vector; before, all of one.

use crate::case::Case;
use crate::engines::arenas::{Arena, ArenaVec, Blink, BumpScope, BumpScopeUp, Bumpalo};
use crate::opaque::escape;
use crate::region::{Lists, Regions, growing, kept};
use crate::workloads::{POOL_ARENA, rounds};
use std::time::Instant;

const ITEMS: u32 = 100_000;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case::<Arena>(),
        case::<ArenaVec>(),
        case::<Bumpalo>(),
        case::<BumpScope>(),
        case::<BumpScopeUp>(),
        case::<Blink>(),
    ]
}

fn case<E>() -> Case
where
    E: for<'a> Regions<Region<'a>: Lists>,
{
    Case::new::<E>(POOL_ARENA, "push-100k", || {
        let mut region = kept::<E>(growing(ITEMS as usize * size_of::<u32>()));
        for _ in 0..4 {
            round(&mut region, ITEMS);
        }
        assert!(region.list(0..ITEMS).iter().copied().eq(0..ITEMS), "these are not the items");
        round(&mut region, ITEMS);
        Box::new(move |n| {
            let mut sum = 0;
            let start = Instant::now();
            rounds(n, ITEMS as usize, |count| sum += round(&mut region, count as u32));
            let elapsed = start.elapsed();
            let vectors = n.div_ceil(u64::from(ITEMS));
            // Each answers by its length and its last item, which is one less.
            assert_eq!(sum, 2 * n - vectors, "these are not the vectors");
            elapsed
        })
    })
    .sample(2 * u64::from(ITEMS))
}

/// What is measured. The numbers begin at 0 and so are the places in the vector: the optimiser may
/// count both at once, for every engine alike.
#[inline(never)]
fn round<R: Lists>(region: &mut R, count: u32) -> u64 {
    let list = region.list(0..count);
    escape(list.as_ptr().cast_mut().cast());
    let answer = list.len() as u64 + list.last().map_or(0, |&item| u64::from(item));
    region.reset();
    answer
}
