//! `request-new` and `request-reset`: what a request allocates, in an arena made for it and destroyed
//! after it, or in a warm one that is reset after it.
//!
//! 24 objects, together 3.5 KiB: 20 of 8 to 336 bytes, aligned to 8, whose lengths were drawn before
//! and are not known to the compiler, and 4 copied strings of 8 to 63 bytes. In one of eight
//! requests there is a buffer of 20 KiB more. One byte of each object is written. An operation is a
//! request. *Answers*: the sum of the copies' lengths, and that all objects are aligned; before, that
//! no object of a request was overwritten.

use crate::case::Case;
use crate::engine::Setup;
use crate::engines::Null;
use crate::engines::arenas::{ArenaFixed, Cursor, of_arenas};
use crate::opaque::escape;
use crate::region::{Places, Region, Regions, Texts, growing, kept};
use crate::workloads::{POOL_ARENA, Random};
use std::alloc::Layout;
use std::time::Instant;

/// Parts of a request, each of some objects and a string.
const PARTS: usize = 4;
/// Objects of a part, without the string.
const OBJECTS: usize = 5;
/// Every object's alignment.
const ALIGN: usize = 8;
/// Bytes of a request, without the large buffer, give or take one percent.
const BYTES: usize = 3584;
/// Bytes of the large buffer.
pub const LARGE: usize = 20 << 10;
/// One request of so many has it.
pub const RARE: usize = 8;
/// Requests that are drawn; they come again and again.
pub const DRAWN: usize = 64;

/// What is known of a request when it comes.
pub struct Request {
    parts: [Part; PARTS],
    large: bool,
}

struct Part {
    /// Bytes of each object.
    lens: [usize; OBJECTS],
    text: &'static str,
}

/// A region in which requests can be served.
pub trait Serves: Places + Texts {}
impl<R: Places + Texts> Serves for R {}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = of_arenas!(new, Null, ArenaFixed);
    cases.extend(of_arenas!(again, Null, ArenaFixed, Cursor));
    cases
}

/// What an engine of requests is built for.
#[must_use]
pub fn setup() -> Setup {
    growing(2 * LARGE)
}

fn new<E>() -> Case
where
    E: for<'a> Regions<Region<'a>: Serves>,
{
    Case::new::<E>(POOL_ARENA, "request-new", || {
        let requests = draw();
        let store = E::build(setup());
        assert_whole::<E>(&mut E::open(&store), &requests);
        each_in_its_own::<E>(&store, &requests, 2 * DRAWN);
        Box::new(move |n| {
            let start = Instant::now();
            let sum = each_in_its_own::<E>(&store, &requests, n as usize);
            let elapsed = start.elapsed();
            assert!(sum.is_right(&requests, n as usize), "{sum:x?} is not of these requests");
            elapsed
        })
    })
}

fn again<E>() -> Case
where
    E: for<'a> Regions<Region<'a>: Serves>,
{
    Case::new::<E>(POOL_ARENA, "request-reset", || {
        let requests = draw();
        let mut region = kept::<E>(setup());
        assert_whole::<E>(&mut region, &requests);
        all_in_one(&mut region, &requests, 2 * DRAWN);
        Box::new(move |n| {
            let start = Instant::now();
            let sum = all_in_one(&mut region, &requests, n as usize);
            let elapsed = start.elapsed();
            assert!(sum.is_right(&requests, n as usize), "{sum:x?} is not of these requests");
            elapsed
        })
    })
}

/// The requests: the same in every process.
#[must_use]
pub fn draw() -> Vec<Request> {
    let mut random = Random::new();
    (0..DRAWN)
        .map(|at| {
            let parts = loop {
                let parts = [(); PARTS].map(|()| Part::draw(&mut random));
                if parts.iter().map(Part::bytes).sum::<usize>().abs_diff(BYTES) <= BYTES / 100 {
                    break parts;
                }
            };
            Request { parts, large: at % RARE == RARE - 1 }
        })
        .collect()
}

impl Part {
    fn draw(random: &mut Random) -> Self {
        let lens = [(); OBJECTS].map(|()| 8 + random.below(329));
        let len = 8 + random.below(56);
        Self { lens, text: random.text(len).leak() }
    }

    fn bytes(&self) -> usize {
        self.lens.iter().sum::<usize>() + self.text.len()
    }
}

/// What requests come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Bytes of all strings.
    texts: usize,
    /// Bits that the objects' addresses have.
    addresses: usize,
}

impl Sum {
    /// Whether this is what `count` requests come to.
    #[must_use]
    pub fn is_right(self, requests: &[Request], count: usize) -> bool {
        let texts =
            |request: &Request| -> usize { request.parts.iter().map(|part| part.text.len()).sum() };
        let (rounds, rest) = (count / DRAWN, count % DRAWN);
        let whole: usize = requests.iter().map(texts).sum();
        let part: usize = requests[..rest].iter().map(texts).sum();
        self.texts == rounds * whole + part
            && self.addresses % ALIGN == 0
            && (self.addresses != 0 || count == 0)
    }
}

/// `count` requests, an arena for each.
#[inline(never)]
pub fn each_in_its_own<E>(store: &E::Store, requests: &[Request], count: usize) -> Sum
where
    E: for<'a> Regions<Region<'a>: Serves>,
{
    let mut sum = Sum::default();
    for number in 0..count {
        let region = E::open(store);
        serve(&region, &requests[number % DRAWN], &mut sum);
    }
    sum
}

/// `count` requests, one arena for all.
#[inline(never)]
pub fn all_in_one<R: Serves>(region: &mut R, requests: &[Request], count: usize) -> Sum {
    let mut sum = Sum::default();
    for number in 0..count {
        serve(region, &requests[number % DRAWN], &mut sum);
        region.reset();
    }
    sum
}

/// One request.
#[inline(always)]
fn serve<R: Serves>(region: &R, request: &Request, sum: &mut Sum) {
    part(region, &request.parts[0], sum);
    part(region, &request.parts[1], sum);
    if request.large {
        object(region, LARGE, sum);
    }
    part(region, &request.parts[2], sum);
    part(region, &request.parts[3], sum);
}

#[inline(always)]
fn part<R: Serves>(region: &R, part: &Part, sum: &mut Sum) {
    object(region, part.lens[0], sum);
    object(region, part.lens[1], sum);
    let copy = region.text(part.text);
    escape(copy.as_ptr().cast_mut());
    sum.texts += copy.len();
    object(region, part.lens[2], sum);
    object(region, part.lens[3], sum);
    object(region, part.lens[4], sum);
}

#[inline(always)]
fn object<R: Places>(region: &R, len: usize, sum: &mut Sum) {
    let place = region.place(layout(len)).as_ptr();
    // SAFETY: at least 8 bytes, that are ours.
    unsafe { place.write(len as u8) };
    escape(place);
    sum.addresses |= place.addr();
}

#[inline(always)]
fn layout(len: usize) -> Layout {
    // SAFETY: lengths are of at most 20 KiB, and 8 is a power of two.
    unsafe { Layout::from_size_align_unchecked(len, ALIGN) }
}

/// That the objects of a request keep what is written into them, to the last byte, while others
/// come.
fn assert_whole<E>(region: &mut E::Region<'_>, requests: &[Request])
where
    E: for<'a> Regions<Region<'a>: Serves>,
{
    if E::NAME == "(loop)" {
        return;
    }
    for request in requests {
        let lens = request.parts.iter().flat_map(|part| part.lens);
        let lens = lens.chain(request.large.then_some(LARGE));
        let texts = request.parts.iter().map(|part| part.text);
        let mut copies = texts.clone().map(|text| region.text(text)).collect::<Vec<_>>();
        let places: Vec<_> = lens
            .zip(1_u8..)
            .map(|(len, mark)| {
                let place = region.place(layout(len));
                // SAFETY: so many bytes, and they are ours.
                unsafe { place.write_bytes(mark, len) };
                (place, len, mark)
            })
            .collect();
        copies.extend(texts.clone().map(|text| region.text(text)));
        assert!(texts.clone().chain(texts).eq(copies), "a string was overwritten");
        for (place, len, mark) in places {
            // SAFETY: written above, and live until the reset.
            let bytes = unsafe { std::slice::from_raw_parts(place.as_ptr(), len) };
            assert!(bytes.iter().all(|byte| *byte == mark), "an object was overwritten");
        }
        region.reset();
    }
}
