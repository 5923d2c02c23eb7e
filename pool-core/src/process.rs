//! What the system knows about this process: resident and committed memory, page faults,
//! mappings, and which part of a run is resident.
//!
//! These are for dashboards and tests, not for steady-state paths: each is a system call or
//! more, and some parse text. None of them allocates from Rust's global allocator.
//!
//! | | Linux, Android | other Unix | elsewhere |
//! |---|---|---|---|
//! | [`faults`] | yes | yes | `Unsupported` |
//! | [`thread_faults`] | yes | FreeBSD | `Unsupported` |
//! | all others | yes | `Unsupported` | `Unsupported` |
//!
//! `Unsupported` is an [`io::Error`] of that [kind](io::ErrorKind::Unsupported).
//!
//! ```
//! use pool_core::{Heap, PageSource, process};
//! # if cfg!(any(not(target_os = "linux"), miri)) { return Ok(()) }
//! let before = process::faults()?;
//! let mut pages = Heap::new().pages(64 << 20).unwrap();
//! assert!(process::residency(pages.as_uninit())? < 1 << 20);
//! pages.as_uninit_mut().fill(std::mem::MaybeUninit::new(1));
//! assert_eq!(process::residency(pages.as_uninit())?, pages.len());
//! assert!(process::faults()?.minor > before.minor);
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

use crate::sys::{page_size, process as sys};
use core::ops::Range;
use std::io;

/// Page faults since the process or thread began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Served without reading from a disk: first touches of fresh pages, mostly.
    pub minor: u64,
    /// Served by reading from a disk: from swap, or from a mapped file.
    pub major: u64,
}

/// Page faults of all threads of this process, those that have ended included (`getrusage`).
///
/// # Errors
/// `Unsupported` where there is no such call.
pub fn faults() -> io::Result<Faults> {
    sys::faults(false).map(|(minor, major)| Faults { minor, major })
}

/// Page faults of this thread alone: how a loop is shown to have none.
///
/// # Errors
/// `Unsupported` where the system does not count by threads.
///
/// ```
/// # if cfg!(any(not(target_os = "linux"), miri)) { return Ok(()) }
/// let before = pool_core::process::thread_faults()?;
/// let sum: u64 = std::hint::black_box((0..1000).sum());
/// assert_eq!(sum, 499_500);
/// let after = pool_core::process::thread_faults()?;
/// assert!(after.minor >= before.minor && after.major >= before.major);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn thread_faults() -> io::Result<Faults> {
    sys::faults(true).map(|(minor, major)| Faults { minor, major })
}

/// Bytes of this process that are in memory now, shared ones included (`VmRSS`). Kernels keep this
/// in pieces a processor, so it may be off by some hundred KiB.
///
/// # Errors
/// `Unsupported` away from Linux; the system's error if `/proc` is not mounted.
pub fn resident_bytes() -> io::Result<usize> {
    statm(1)
}

/// Bytes of private writable mappings and stacks (`VmData` + `VmStk`): what the process may fill
/// without asking again. Touched or not makes no difference; reserved address space (no access),
/// read-only and shared mappings, as those of [`Mirror`](crate::Mirror), do not count.
///
/// # Errors
/// As [`resident_bytes`].
pub fn committed_bytes() -> io::Result<usize> {
    statm(5)
}

/// Mappings that this process has, of at most `vm.max_map_count`.
///
/// # Errors
/// As [`resident_bytes`].
pub fn vma_count() -> io::Result<usize> {
    sys::vma_count()
}

/// Mappings that a process may have: `vm.max_map_count`.
///
/// # Errors
/// As [`resident_bytes`].
pub fn vma_limit() -> io::Result<usize> {
    sys::vma_limit()
}

/// Of the pages that `memory` touches, the bytes that are resident (`mincore`). The memory is not
/// read; it need not be initialised, nor the pointer valid.
///
/// Pages of a file, as [`Mirror`](crate::Mirror)'s, count if the system has them in memory,
/// whether or not this process has touched them.
///
/// # Errors
/// The system's error (`ENOMEM`) if a page of `memory` is not mapped; `Unsupported` away from
/// Linux.
pub fn residency<T>(memory: *const [T]) -> io::Result<usize> {
    let range = addresses(memory);
    let skipped = range.start & (page_size() - 1);
    let start = memory.cast::<u8>().wrapping_sub(skipped);
    let pages = (range.len() + skipped).div_ceil(page_size());
    Ok(sys::resident_pages(start, if range.is_empty() { 0 } else { pages })? * page_size())
}

/// Bytes in huge pages, transparent or reserved, of the mappings that `memory` touches: the sum
/// of `AnonHugePages`, `ShmemPmdMapped`, `FilePmdMapped` and both kinds of `Hugetlb`. The system
/// counts by whole mappings: a neighbour that was merged into the same one counts too.
///
/// # Errors
/// As [`resident_bytes`].
pub fn huge_bytes<T>(memory: *const [T]) -> io::Result<usize> {
    let range = addresses(memory);
    let (mut kib, mut inside) = (0, false);
    lines_of("/proc/self/smaps", |line| {
        if let Some(mapping) = mapping_of(line) {
            inside = mapping.start < range.end && range.start < mapping.end;
        } else if inside {
            kib += huge_kib(line);
        }
    })?;
    Ok(kib << 10)
}

fn addresses<T>(memory: *const [T]) -> Range<usize> {
    let start = memory.cast::<u8>().addr();
    start..start.saturating_add(memory.len().saturating_mul(size_of::<T>()))
}

/// The range of a line of `smaps` that begins a mapping: `start-end perms ...`.
fn mapping_of(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    Some(hex(start)?..hex(end)?)
}

/// The KiB that a line of `smaps` says are in huge pages.
fn huge_kib(line: &str) -> usize {
    const NAMES: [&str; 5] =
        ["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb"];
    let Some((name, value)) = line.split_once(':') else { return 0 };
    let number = value.split_ascii_whitespace().next().and_then(|text| text.parse().ok());
    if NAMES.contains(&name) { number.unwrap_or(0) } else { 0 }
}

fn statm(field: usize) -> io::Result<usize> {
    Ok(number_in("/proc/self/statm", field)?.saturating_mul(page_size()))
}

/// Number `field` of the first line of a file, from 0.
fn number_in(path: &str, field: usize) -> io::Result<usize> {
    let mut found = None;
    lines_of(path, |line| {
        found = found.or(line.split_ascii_whitespace().nth(field).and_then(|n| n.parse().ok()));
    })?;
    found.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Tells `each` every line of a file; of a line longer than 256 bytes only the beginning.
fn lines_of(path: &str, mut each: impl FnMut(&str)) -> io::Result<()> {
    let (mut line, mut len) = ([0; 256], 0);
    sys::read_proc(path, |piece| {
        for &byte in piece {
            if byte == b'\n' {
                let text = &line[..len];
                // What is cut off or a file's name may be no UTF-8: what is before it will do.
                let valid = core::str::from_utf8(text).map_or_else(|e| e.valid_up_to(), str::len);
                each(core::str::from_utf8(&text[..valid]).unwrap_or_default());
                len = 0;
            } else if let Some(place) = line.get_mut(len) {
                *place = byte;
                len += 1;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_smaps() {
        let line = "7f00a000-7f00c000 rw-p 00000000 00:00 0    /a: b";
        assert_eq!(mapping_of(line), Some(0x7f00_a000..0x7f00_c000));
        assert_eq!(mapping_of("AnonHugePages:      2048 kB"), None);
        assert_eq!(mapping_of("VmFlags: rd wr mr mw me ac"), None);
        assert_eq!(huge_kib("AnonHugePages:      2048 kB"), 2048);
        assert_eq!(huge_kib("Private_Hugetlb:       4096 kB"), 4096);
        assert_eq!(huge_kib("Rss:                  12 kB"), 0);
    }

    #[test]
    fn the_range_of_a_slice_is_in_bytes() {
        let words = [0u64; 4];
        assert_eq!(addresses::<u64>(&raw const words).len(), 32);
    }
}
