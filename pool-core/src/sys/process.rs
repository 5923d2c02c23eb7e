//! What the system knows about this process: calls, and files under `/proc`.

use std::io;

#[cfg(all(unix, not(miri)))]
pub(crate) use rusage::faults;
#[cfg(not(all(unix, not(miri))))]
pub(crate) fn faults(_thread: bool) -> io::Result<(u64, u64)> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
pub(crate) use elsewhere::{read_proc, resident_pages};
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
pub(crate) use linux::{read_proc, resident_pages};

/// Mappings that this process has. Here, as the errors of other calls tell it.
pub(crate) fn vma_count() -> io::Result<usize> {
    let mut lines = 0;
    read_proc("/proc/self/maps", |piece| {
        lines += piece.iter().filter(|&&byte| byte == b'\n').count();
    })?;
    Ok(lines)
}

/// Mappings that a process may have.
pub(crate) fn vma_limit() -> io::Result<usize> {
    let mut limit = 0_usize;
    read_proc("/proc/sys/vm/max_map_count", |piece| {
        for digit in piece.iter().filter(|byte| byte.is_ascii_digit()) {
            limit = limit.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
        }
    })?;
    Ok(limit)
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
mod elsewhere {
    use super::io;

    pub(crate) fn read_proc(_path: &str, _each: impl FnMut(&[u8])) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn resident_pages(_start: *const u8, _pages: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(unix, not(miri)))]
mod rusage {
    use super::io;
    use core::mem::MaybeUninit;

    /// Minor and major faults of this process, or of this thread.
    pub(crate) fn faults(thread: bool) -> io::Result<(u64, u64)> {
        let who = if thread { this_thread()? } else { libc::RUSAGE_SELF };
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the pointer is to writable memory of one `rusage`, which is what is filled in.
        if unsafe { libc::getrusage(who, usage.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: integers only, so zeros are valid, and the call has filled it in.
        let usage = unsafe { usage.assume_init() };
        Ok((usage.ru_minflt as u64, usage.ru_majflt as u64))
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    #[allow(clippy::unnecessary_wraps, reason = "other systems refuse")]
    fn this_thread() -> io::Result<libc::c_int> {
        Ok(libc::RUSAGE_THREAD)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn this_thread() -> io::Result<libc::c_int> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod linux {
    use super::io;
    use std::fs::File;
    use std::io::Read;

    /// Reads a file of `/proc` piece by piece, without allocating more than the path needs.
    pub(crate) fn read_proc(path: &str, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut piece = [0; 4 << 10];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(len) => each(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Of `pages` pages from `start` on, a multiple of the page size, those that are resident.
    pub(crate) fn resident_pages(start: *const u8, pages: usize) -> io::Result<usize> {
        let mut piece = [0u8; 1 << 10];
        let size = crate::sys::page_size();
        let mut resident = 0;
        for first in (0..pages).step_by(piece.len()) {
            let count = piece.len().min(pages - first);
            let start = start.wrapping_add(first * size).cast_mut().cast();
            // SAFETY: the call reads no memory at `start`, it fails where nothing is mapped; it
            // writes a byte for each of `count` pages, which `piece` has.
            if unsafe { libc::mincore(start, count * size, piece.as_mut_ptr()) } != 0 {
                return Err(io::Error::last_os_error());
            }
            resident += piece[..count].iter().filter(|&&page| page & 1 != 0).count();
        }
        Ok(resident)
    }
}
