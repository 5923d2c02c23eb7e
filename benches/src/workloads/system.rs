//! `map-4k`, `map-2m`, `retouch-2m`, `mirror-64k`: what the system's own calls cost, of which all sources of pages are
//! made. No gate is about them.
//!
//! *Answers*: bytes that were written read back, of a mirror by the other address.

use crate::case::Case;
use crate::engine::{Runs, Store};
use crate::opaque::escape;
use crate::workloads::{PAGE, POOL_CORE, rounds};
use memmap2::{Advice, MmapMut, MmapOptions, UncheckedAdvice};
use pool_core::{HugePages, Mirror, Mmap, PageSource, Request};
use slice_ring_buffer::SliceRingBuffer;
use std::time::Instant;

const HUGE: usize = 2 << 20;
const RING: usize = 64 << 10;
/// Rings of a slab.
const SLAB: usize = 256;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = maps("map-4k", PAGE);
    cases.extend(maps("map-2m", HUGE));
    cases.extend(retouched());
    cases.extend(mirrors());
    cases
}

/// A case whose operations are the system's, so that nothing is counted.
fn case<F: FnMut(u64) + 'static>(
    workload: &'static str,
    engine: &'static str,
    ours: bool,
    prepare: impl Fn() -> F + 'static,
) -> Case {
    let case = Case::plain(POOL_CORE, workload, engine, ours, move || {
        let mut operations = prepare();
        Box::new(move |n| {
            let start = Instant::now();
            operations(n);
            start.elapsed()
        })
    });
    case.uncounted()
}

fn mapping(len: usize, populated: bool) -> MmapMut {
    let mut options = MmapOptions::new();
    options.len(len);
    if populated {
        options.populate();
    }
    options.map_anon().expect("the system has memory")
}

/// Pages of which nothing is written.
fn maps(name: &'static str, len: usize) -> Vec<Case> {
    let mapped = move |engine, populated| {
        case(name, engine, false, move || {
            move |n| (0..n).for_each(|_| escape(mapping(len, populated).as_mut_ptr()))
        })
    };
    let ours = case(name, "Mmap, trimmed", true, move || {
        let mut store = Runs(Mmap::new());
        move |n| {
            for _ in 0..n {
                let run = store.take(len);
                escape(Runs::<Mmap>::address(&run));
                store.put(run);
                store.0.trim();
            }
        }
    });
    vec![mapped("mmap+munmap", false), mapped("mmap+munmap, MAP_POPULATE", true), ours]
}

/// Writes a byte of each page, and reads some back.
fn touch(memory: *mut u8, mark: u64) {
    let mark = mark as u8 | 1;
    for page in 0..HUGE / PAGE {
        // SAFETY: whoever calls this has 2 MiB of memory there, alone.
        unsafe { memory.wrapping_add(page * PAGE).write_volatile(mark) };
    }
    // SAFETY: as above; it was written.
    assert_eq!(unsafe { memory.wrapping_add(HUGE - PAGE).read_volatile() }, mark);
}

/// 2 MiB in base pages that are written, and whose memory goes back to the system before each time.
fn retouched() -> Vec<Case> {
    const NAME: &str = "retouch-2m";
    let small = || {
        let mapping = mapping(HUGE, false);
        // Refused by a kernel without huge pages, which has base pages then.
        let _ = mapping.advise(Advice::NoHugePage);
        mapping
    };
    let advised = move |engine, advice: Option<UncheckedAdvice>| {
        case(NAME, engine, false, move || {
            let mut mapping = small();
            move |n| {
                for mark in 0..n {
                    if let Some(advice) = advice {
                        // SAFETY: no reference to the mapping lives, and what it has is not read before it is
                        // written.
                        unsafe { mapping.unchecked_advise(advice) }
                            .expect("it is a private mapping");
                    }
                    touch(mapping.as_mut_ptr(), mark);
                }
            }
        })
    };
    let anew = case(NAME, "munmap, mmap", false, move || {
        move |n| (0..n).for_each(|mark| touch(small().as_mut_ptr(), mark))
    });
    let populated = case(NAME, "munmap, mmap, MAP_POPULATE", false, || {
        |n| (0..n).for_each(|mark| touch(mapping(HUGE, true).as_mut_ptr(), mark))
    });
    let ours = case(NAME, "Mmap, decommit", true, || {
        let source = Mmap::builder().huge_pages(HugePages::Never).build();
        let mut pages = source.pages(Request::new(HUGE)).expect("the system has memory");
        move |n| {
            for mark in 0..n {
                assert!(pages.decommit());
                touch(pages.as_uninit_mut().as_mut_ptr().cast(), mark);
            }
        }
    });
    vec![
        advised("(loop)", None),
        advised("MADV_DONTNEED", Some(UncheckedAdvice::DontNeed)),
        advised("MADV_FREE", Some(UncheckedAdvice::Free)),
        anew,
        populated,
        ours,
    ]
}

/// Rings whose bytes have two addresses are made and given up.
fn mirrors() -> Vec<Case> {
    const NAME: &str = "mirror-64k";
    let theirs = case(NAME, "slice-ring-buffer", false, || {
        |n| {
            for mark in 0..n {
                let mut ring = SliceRingBuffer::with_capacity(RING);
                ring.push_back(mark as u8);
                assert_eq!(ring[0], mark as u8);
                escape(ring.as_mut_slice().as_mut_ptr());
            }
        }
    });
    let first = case(NAME, "Mirror, its first ring", true, || {
        |n| (0..n).for_each(|_| rings(&Mirror::new().slab_bytes(RING), 1))
    });
    let slab = case(NAME, "Mirror, a slab of 256", true, || {
        |n| rounds(n, SLAB, |count| rings(&Mirror::new(), count))
    });
    let again = case(NAME, "Mirror, a ring used before", true, || {
        let mirror = Mirror::new();
        move |n| (0..n).for_each(|_| rings(&mirror, 1))
    });
    vec![theirs, first, slab, again]
}

/// So many at once, a byte of each written.
fn rings(mirror: &Mirror, count: usize) {
    let ring = || mirror.pages(Request::new(RING)).expect("the system has memory");
    let mut all: Vec<_> = (0..count).map(|_| ring()).collect();
    for (mark, ring) in all.iter_mut().enumerate() {
        let first: *mut u8 = ring.as_uninit_mut().as_mut_ptr().cast();
        // SAFETY: the ring is ours.
        unsafe { first.write_volatile(mark as u8) };
        // SAFETY: the second view of that byte, behind the ring's end.
        assert_eq!(unsafe { first.wrapping_add(RING).read_volatile() }, mark as u8);
    }
}
