//! `outliers`: requests of very different sizes in one arena, and what it holds after all of them.
//!
//! Bytes of a request are drawn by Pareto's law: at least 1 KiB, twice as many in 2^-1.2 of them, at
//! most 1 MiB; but one request in 10,000 has 64 MiB. They come in objects of at most 4 KiB, of
//! which the first byte is written. An operation is a request. The table's column *bytes* is what the
//! arena holds from the tier below after 20,000 requests and a reset, the second outlier being
//! 5,000 requests ago. *Answers*: the number of objects.

use crate::case::{Case, Point};
use crate::engines::arenas::{Arena, BumpScope, Bumpalo};
use crate::opaque::escape;
use crate::region::{Holds, Places, Regions, growing, kept};
use crate::workloads::{POOL_ARENA, Random};
use std::alloc::Layout;
use std::time::Instant;

/// One request of so many is an outlier.
pub const RARE: usize = 10_000;
/// Bytes of an outlier.
pub const OUTLIER: usize = 64 << 20;

const LEAST: usize = 1 << 10;
const MOST: usize = 1 << 20;
const OBJECT: usize = 4 << 10;
const EXPONENT: f64 = 1.2;

pub(super) fn cases() -> Vec<Case> {
    vec![case::<Arena>(), case::<Bumpalo>(), case::<BumpScope>()]
}

fn case<E>() -> Case
where
    E: for<'a> Regions<Region<'a>: Places + Holds>,
{
    Case::new::<E>(POOL_ARENA, "outliers", || {
        let sizes = draw(RARE, OUTLIER);
        let mut region = kept::<E>(growing(OUTLIER));
        let mut next = 0;
        Box::new(move |n| {
            let start = Instant::now();
            let objects = serve(&mut region, &sizes, next, n as usize);
            let elapsed = start.elapsed();
            assert_eq!(objects, answer(&sizes, next, n as usize), "objects are missing");
            next = (next + n as usize) % sizes.len();
            elapsed
        })
    })
    .uncounted()
    .holding(|| held::<E>(&draw(RARE, OUTLIER), 2 * RARE))
    .remembering(|| over_time::<E>(&draw(RARE, OUTLIER), 2 * RARE))
}

/// The requests between two looks at what is held.
const LOOK: usize = 250;

/// Bytes that an engine's arena holds after each so many requests.
fn over_time<E>(sizes: &[usize], requests: usize) -> Vec<Point>
where
    E: for<'a> Regions<Region<'a>: Places + Holds>,
{
    let store = E::build(growing(OUTLIER));
    let mut region = E::open(&store);
    let mut points = vec![(0, region.held() as u64)];
    for from in (0..requests).step_by(LOOK) {
        serve(&mut region, sizes, from, LOOK);
        points.push(((from + LOOK) as u64, region.held() as u64));
    }
    points
}

/// Bytes that an engine's arena holds after so many requests.
///
/// # Panics
/// If objects are missing.
#[must_use]
pub fn held<E>(sizes: &[usize], requests: usize) -> u64
where
    E: for<'a> Regions<Region<'a>: Places + Holds>,
{
    let store = E::build(growing(OUTLIER));
    let mut region = E::open(&store);
    let objects = serve(&mut region, sizes, 0, requests);
    assert_eq!(objects, answer(sizes, 0, requests), "objects are missing");
    region.held() as u64
}

/// Bytes of `count` requests, one of them, in the middle, of `outlier`.
#[must_use]
pub fn draw(count: usize, outlier: usize) -> Vec<usize> {
    let mut random = Random::new();
    let mut size = || {
        // From above 0 to 1.
        let share = (random.below(1 << 24) + 1) as f64 / f64::from(1 << 24);
        ((LEAST as f64 * share.powf(-1.0 / EXPONENT)) as usize).min(MOST)
    };
    (0..count).map(|at| if at == count / 2 { outlier } else { size() }).collect()
}

fn answer(sizes: &[usize], from: usize, count: usize) -> usize {
    (from..from + count).map(|number| sizes[number % sizes.len()].div_ceil(OBJECT)).sum()
}

/// What is measured; returns the number of objects.
#[inline(never)]
fn serve<R: Places>(region: &mut R, sizes: &[usize], from: usize, count: usize) -> usize {
    (from..from + count).map(|number| request(region, sizes[number % sizes.len()])).sum()
}

/// A request of so many bytes, and the reset after it; returns the number of objects.
#[inline(always)]
pub fn request<R: Places>(region: &mut R, bytes: usize) -> usize {
    let mut objects = 0;
    let mut left = bytes;
    while left > 0 {
        let len = left.min(OBJECT);
        // SAFETY: at most 4 KiB, and 8 is a power of two.
        let layout = unsafe { Layout::from_size_align_unchecked(len, 8) };
        let object = region.place(layout).as_ptr();
        // SAFETY: at least one byte, and it is ours.
        unsafe { object.write(1) };
        escape(object);
        // SAFETY: as above; written just now.
        objects += usize::from(unsafe { object.read() });
        left -= len;
    }
    region.reset();
    objects
}
