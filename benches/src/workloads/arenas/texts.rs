//! `texts`: a string of 20 bytes at a time is copied into a warm arena; after 10,000 it is reset.
//!
//! The length is not known to the compiler. *Answers*: the sum of the copies' lengths, and each round's
//! last copy; before, that the copies of a whole round are the strings.

use super::{OBJECTS, SAMPLE};
use crate::case::Case;
use crate::engines::Null;
use crate::engines::arenas::{Cursor, of_arenas};
use crate::opaque::escape;
use crate::region::{Regions, Texts, kept, sized};
use crate::workloads::{POOL_ARENA, Random, rounds};
use std::time::Instant;

const LEN: usize = 20;
/// What an object takes up where objects are aligned.
const ROOM: usize = LEN.next_multiple_of(8);

pub(super) fn cases() -> Vec<Case> {
    of_arenas!(case, Null, Cursor)
}

fn case<E>() -> Case
where
    E: for<'a> Regions<Region<'a>: Texts>,
{
    Case::new::<E>(POOL_ARENA, "texts", || {
        let mut random = Random::new();
        let texts: Vec<String> = (0..OBJECTS).map(|_| random.text(LEN)).collect();
        // The strings in one piece, as a request's bytes are.
        let all = texts.concat();
        let texts: Vec<&'static str> = {
            let all: &'static str = all.leak();
            (0..OBJECTS).map(|at| &all[at * LEN..(at + 1) * LEN]).collect()
        };
        let mut region = kept::<E>(sized(OBJECTS * ROOM));
        round(&mut region, &texts);
        let copies: Vec<_> = texts.iter().map(|text| region.text(text)).collect();
        assert_eq!(copies, texts, "a copy is not the string");
        drop(copies);
        round(&mut region, &[]);
        Box::new(move |n| {
            let mut sum = 0;
            let start = Instant::now();
            rounds(n, OBJECTS, |count| sum += round(&mut region, &texts[..count]));
            let elapsed = start.elapsed();
            assert_eq!(sum, n as usize * LEN, "these are not the strings");
            elapsed
        })
    })
    .sample(SAMPLE)
}

/// What is measured.
#[inline(never)]
fn round<R: Texts>(region: &mut R, texts: &[&str]) -> usize {
    let mut sum = 0;
    let mut last = "";
    for text in texts {
        last = region.text(text);
        escape(last.as_ptr().cast_mut());
        sum += last.len();
    }
    assert_eq!(last, texts.last().copied().unwrap_or_default(), "this is not the string");
    region.reset();
    sum
}
