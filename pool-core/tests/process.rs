//! What `process` says, against memory that is touched before its eyes. Most figures are the whole
//! process's, so each test that looks at them has one of its own.
#![cfg(all(target_os = "linux", feature = "std", not(miri)))]

mod common;

use common::{HUGE, expect_huge_pages, in_process};
use core::mem::MaybeUninit;
use pool_core::{Heap, PageSource, process};

const LEN: usize = 64 << 20;

#[test]
fn touching_memory_shows_in_every_figure() {
    in_process("touching_memory_shows_in_every_figure", touch_memory);
}

fn touch_memory() {
    let committed = process::committed_bytes().unwrap();
    let mut pages = Heap::new().pages(LEN).unwrap();
    assert!(process::committed_bytes().unwrap() >= committed + LEN);
    assert!(process::residency(pages.as_uninit()).unwrap() < LEN / 8);

    let (resident, faults) = (process::resident_bytes().unwrap(), process::faults().unwrap());
    let of_thread = process::thread_faults().unwrap();
    let half = &mut pages.as_uninit_mut()[..LEN / 2];
    half.fill(MaybeUninit::new(1));
    assert_eq!(process::residency(&raw const *half).unwrap(), LEN / 2);
    // Huge pages may reach over the middle.
    let all = process::residency(pages.as_uninit()).unwrap();
    assert!((LEN / 2..LEN / 2 + (4 << 20)).contains(&all), "{all}");
    // The system counts this in pieces, one a processor.
    let pieces = 8 << 20;
    assert!(process::resident_bytes().unwrap() >= resident + LEN / 2 - pieces);
    let huge_at_most = (LEN / 2 / (2 << 20)) as u64;
    assert!(process::faults().unwrap().minor >= faults.minor + huge_at_most);
    assert!(process::thread_faults().unwrap().minor >= of_thread.minor + huge_at_most);
    assert!(process::huge_bytes(pages.as_uninit()).unwrap() <= LEN + (4 << 20));

    let resident = process::resident_bytes().unwrap();
    drop(pages);
    assert!(process::resident_bytes().unwrap() <= resident - LEN / 2 + pieces);

    // Now and then the system moves a page of ours, which costs a fault, or has to read this very code
    // again; not each time.
    let steady = || {
        let before = process::thread_faults().unwrap();
        for _ in 0..1000 {
            std::hint::black_box([0u8; 256]);
        }
        process::thread_faults().unwrap() == before
    };
    assert!((0..100).any(|_| steady()), "there are faults where no memory is touched");
}

#[test]
fn part_of_a_page_is_a_whole_page() {
    let page = Heap::new().granule();
    let mut bytes = Heap::new().pages(4 * page).unwrap().into_bytes();
    bytes.fill(1);
    for (range, pages) in [(0..0, 0), (0..1, 1), (page - 1..page + 1, 2), (1..4 * page, 4)] {
        let part = &raw const bytes[range];
        assert_eq!(process::residency(part).unwrap(), pages * page);
    }
}

#[test]
fn what_is_not_mapped_is_an_error() {
    let nowhere = std::ptr::slice_from_raw_parts(std::ptr::without_provenance::<u8>(64), 1);
    let error = process::residency(nowhere).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
}

#[test]
fn mappings_are_counted() {
    in_process("mappings_are_counted", || {
        let file = std::fs::read_to_string("/proc/self/maps").unwrap();
        let count = process::vma_count().unwrap();
        assert!(count.abs_diff(file.lines().count()) < 20, "{count}");
        assert!(count > 10 && count < process::vma_limit().unwrap());
    });
}

/// Transparent huge pages where they are to be had.
#[test]
fn huge_pages_are_seen() {
    in_process("huge_pages_are_seen", || {
        let path = "/sys/kernel/mm/transparent_hugepage/enabled";
        let allowed = std::fs::read_to_string(path).is_ok_and(|text| !text.contains("[never]"));
        let (advised, before, after) = touch_huge_pages();
        if allowed && advised {
            expect_huge_pages(|| {
                let (_, before, after) = touch_huge_pages();
                after >= before + HUGE
            });
        } else {
            assert_eq!((before, after), (0, 0));
        }
    });
}

/// Whether huge pages could be asked for, and how many bytes of them there were before all was touched
/// and afterwards.
fn touch_huge_pages() -> (bool, usize, usize) {
    let request = pool_core::Request::new(4 * HUGE).align(HUGE);
    let mut pages = Heap::new().pages(request).unwrap();
    let start = pages.as_ptr().as_ptr().cast();
    // SAFETY: the range is ours; the advice does not change its contents.
    let advised = unsafe { libc::madvise(start, 4 * HUGE, libc::MADV_HUGEPAGE) } == 0;
    let before = process::huge_bytes(pages.as_uninit()).unwrap();
    pages.as_uninit_mut().fill(MaybeUninit::new(1));
    (advised, before, process::huge_bytes(pages.as_uninit()).unwrap())
}
