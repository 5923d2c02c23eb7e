//! No operating system: no option is supported, and says so.

use super::Advice;
use crate::error::{Cause, OsError};
use core::ffi::CStr;
use core::ptr::NonNull;

/// The number of "function not implemented" on Linux.
const ENOSYS: i32 = 38;

const fn unsupported(call: &'static str, asked: usize) -> OsError {
    OsError { call, code: ENOSYS, asked, cause: Cause::Unknown }
}

pub(crate) unsafe fn advise(_: NonNull<u8>, len: usize, _: Advice) -> Result<(), OsError> {
    Err(unsupported("madvise", len))
}

pub(crate) unsafe fn lock(_: NonNull<u8>, len: usize) -> Result<(), OsError> {
    Err(unsupported("mlock", len))
}

pub(crate) unsafe fn set_name(_: NonNull<u8>, len: usize, _: &CStr) -> Result<(), OsError> {
    Err(unsupported("prctl(PR_SET_VMA_ANON_NAME)", len))
}

pub(crate) unsafe fn forbid(_: NonNull<u8>, len: usize) -> Result<(), OsError> {
    Err(unsupported("mprotect(PROT_NONE)", len))
}

pub(crate) fn transparent_huge_pages() -> Result<(), OsError> {
    Err(unsupported("madvise(MADV_HUGEPAGE)", 0))
}

/// Bytes of a block of the file's system: longer than any page, as nothing is known.
#[cfg(feature = "std")]
pub(crate) fn block_len(_: &std::fs::File) -> u64 {
    u64::MAX
}

/// Time since the first call.
#[cfg(feature = "std")]
pub(crate) fn monotonic() -> core::time::Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// An error of memmap2's, in this crate's form.
#[allow(dead_code, reason = "memmap2 reaches fewer targets than this file")]
pub(crate) fn os_error(call: &'static str, error: &std::io::Error, asked: usize) -> OsError {
    OsError { call, code: error.raw_os_error().unwrap_or(ENOSYS), asked, cause: Cause::Unknown }
}
