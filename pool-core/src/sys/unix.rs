//! Unix: rustix for what memmap2 lacks. Nothing here allocates.

use super::Advice;
use crate::error::{Cause, OsError};
use core::ffi::CStr;
use core::ptr::NonNull;
use rustix::io::Errno;
use rustix::mm::{self, MprotectFlags};

/// Bytes a page of this system has: a power of two.
///
/// Asked of libc: rustix reads the auxiliary vector and the image of the vDSO that it names, which is
/// not mapped under valgrind.
pub(crate) fn page_size() -> usize {
    // SAFETY: it reads a number that does not change.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // No system that this runs on refuses the question.
    usize::try_from(bytes).unwrap_or(4096)
}

/// Advises on `len` bytes at `ptr`, whole pages.
///
/// # Safety
/// The caller owns the range; for `DontNeed` and `Remove` no reference into it lives.
pub(crate) unsafe fn advise(ptr: NonNull<u8>, len: usize, advice: Advice) -> Result<(), OsError> {
    let (call, advice) = translate(advice);
    let Some(advice) = advice else { return Err(failed(call, Errno::NOSYS, len)) };
    // SAFETY: the caller's promise; the advice changes contents only for those named there.
    let result = unsafe { mm::madvise(ptr.as_ptr().cast(), len, advice) };
    result.map_err(|errno| failed(call, errno, len))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn translate(advice: Advice) -> (&'static str, Option<mm::Advice>) {
    let (call, advice) = match advice {
        Advice::HugePages => ("madvise(MADV_HUGEPAGE)", mm::Advice::LinuxHugepage),
        Advice::NoHugePages => ("madvise(MADV_NOHUGEPAGE)", mm::Advice::LinuxNoHugepage),
        Advice::DontDump => ("madvise(MADV_DONTDUMP)", mm::Advice::LinuxDontDump),
        Advice::WipeOnFork => ("madvise(MADV_WIPEONFORK)", mm::Advice::LinuxWipeOnFork),
        Advice::Populate => ("madvise(MADV_POPULATE_WRITE)", mm::Advice::LinuxPopulateWrite),
        Advice::DontNeed => ("madvise(MADV_DONTNEED)", mm::Advice::LinuxDontNeed),
        Advice::Remove => ("madvise(MADV_REMOVE)", mm::Advice::LinuxRemove),
    };
    (call, Some(advice))
}

/// Elsewhere the advice of these names means other things: `MADV_DONTNEED` need not zero.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn translate(_: Advice) -> (&'static str, Option<mm::Advice>) {
    ("madvise", None)
}

/// Locks `len` bytes at `ptr` into memory, faulting them in.
///
/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn lock(ptr: NonNull<u8>, len: usize) -> Result<(), OsError> {
    // SAFETY: the caller owns the range; locking changes no contents.
    let result = unsafe { mm::mlock(ptr.as_ptr().cast(), len) };
    result.map_err(|errno| {
        let cause = match memory_lock_limit() {
            Some(limit) if matches!(errno, Errno::NOMEM | Errno::PERM | Errno::AGAIN) => {
                Cause::MemoryLock { limit }
            }
            _ => Cause::Unknown,
        };
        OsError { cause, ..failed("mlock", errno, len) }
    })
}

#[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
fn memory_lock_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

#[cfg(any(target_os = "solaris", target_os = "illumos"))]
fn memory_lock_limit() -> Option<u64> {
    None
}

/// Gives the range a name in `/proc/self/maps`.
///
/// # Safety
/// The caller owns the range.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) unsafe fn set_name(ptr: NonNull<u8>, len: usize, name: &CStr) -> Result<(), OsError> {
    // By libc: rustix asks for a slice of the memory, which is not ours to make.
    let (option, what) = (libc::PR_SET_VMA, libc::PR_SET_VMA_ANON_NAME);
    // SAFETY: the call reads the name, a C string, and notes it for addresses that are ours.
    let result = unsafe { libc::prctl(option, what, ptr.as_ptr(), len, name.as_ptr()) };
    if result == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(os_error("prctl(PR_SET_VMA_ANON_NAME)", &error, len))
}

/// No names here.
///
/// # Safety
/// The caller owns the range.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) unsafe fn set_name(_: NonNull<u8>, len: usize, _: &CStr) -> Result<(), OsError> {
    Err(failed("prctl(PR_SET_VMA_ANON_NAME)", Errno::NOSYS, len))
}

/// Makes every access to the range fault.
///
/// # Safety
/// The caller owns the range, and nobody uses it from now on.
pub(crate) unsafe fn forbid(ptr: NonNull<u8>, len: usize) -> Result<(), OsError> {
    // SAFETY: the caller's promise.
    let result = unsafe { mm::mprotect(ptr.as_ptr().cast(), len, MprotectFlags::empty()) };
    result.map_err(|errno| failed("mprotect(PROT_NONE)", errno, len))
}

/// Whether the kernel gives transparent huge pages to those who ask.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn transparent_huge_pages() -> Result<(), OsError> {
    let call = "madvise(MADV_HUGEPAGE)";
    let mut text = [0; 64];
    match read(c"/sys/kernel/mm/transparent_hugepage/enabled", &mut text) {
        Ok(text) if text.windows(7).any(|part| part == b"[never]") => {
            Err(OsError { cause: Cause::HugePagesOff, ..failed(call, Errno::INVAL, 0) })
        }
        Ok(_) => Ok(()),
        // A kernel built without them has no such file.
        Err(errno) => Err(OsError { cause: Cause::HugePagesOff, ..failed(call, errno, 0) }),
    }
}

/// No such pages here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn transparent_huge_pages() -> Result<(), OsError> {
    Err(failed("madvise(MADV_HUGEPAGE)", Errno::NOSYS, 0))
}

/// Bytes of a block of the file's system: what holes are made of.
pub(crate) fn block_len(file: &std::fs::File) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(u64::MAX, |metadata| metadata.blksize())
}

/// Time of the system's monotonic clock.
pub(crate) fn monotonic() -> core::time::Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // By libc: rustix reads the kernel's page of code for it by itself, which valgrind hides.
    // SAFETY: `now` is a place for the answer. The clock is one that every system has.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    core::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// An error of memmap2's, in this crate's form.
pub(crate) fn os_error(call: &'static str, error: &std::io::Error, asked: usize) -> OsError {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::NOSYS);
    failed(call, errno, asked)
}

/// The error of a call, with the limit behind it where one explains it.
#[cold]
pub(crate) fn failed(call: &'static str, errno: Errno, asked: usize) -> OsError {
    let cause = match errno {
        Errno::NOMEM if call == "mmap(MAP_HUGETLB)" => huge_pages_free(),
        Errno::NOMEM => full_map_table(),
        _ => None,
    };
    OsError { call, code: errno.raw_os_error(), asked, cause: cause.unwrap_or(Cause::Unknown) }
}

/// Whether the process has used up `vm.max_map_count`, up to a few that others may hold back.
fn full_map_table() -> Option<Cause> {
    let (count, limit) = (super::process::vma_count().ok()?, super::process::vma_limit().ok()?);
    (count + 8 >= limit).then_some(Cause::MapCount { limit: limit as u64 })
}

/// Free pages of the default huge size.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn huge_pages_free() -> Option<Cause> {
    let mut text = [0; 32];
    let file = c"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    let free = read(file, &mut text).ok().and_then(number).unwrap_or(0);
    Some(Cause::HugePages { free })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn huge_pages_free() -> Option<Cause> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open(path: &CStr) -> Result<rustix::fd::OwnedFd, Errno> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// What one read of a small file gives.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn read<'b>(path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let file = open(path)?;
    let len = rustix::io::read(&file, &mut *buffer)?;
    Ok(&buffer[..len])
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn number(text: &[u8]) -> Option<u64> {
    core::str::from_utf8(text).ok()?.trim().parse().ok()
}
