//! Tells memory checkers which bytes nobody may use: free space in an arena, blocks that were given
//! back. With the feature `poison`; without it these are empty functions.
//!
//! A pool's memory is one live mapping to AddressSanitizer and to valgrind's memcheck, so without
//! being told they notice neither a use after the end nor one beyond it. The idea is
//! `ASAN_POISON_MEMORY_REGION` of the sanitizers, which nginx, APR and PostgreSQL's contexts
//! call from their pools.
//!
//! ```
//! use pool_core::poison::{self, Checker};
//! // Who is told: nobody, unless the feature is on and a checker runs.
//! assert!(matches!(poison::checker(), Checker::None | Checker::Asan | Checker::Valgrind));
//! ```

/// Which checker listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checker {
    /// None: the feature is off, or the program runs by itself.
    None,
    /// AddressSanitizer, compiled in.
    Asan,
    /// Valgrind runs the program.
    Valgrind,
}

/// Which checker listens to this process.
#[must_use]
pub fn checker() -> Checker {
    listener::checker()
}

/// From now on any use of these bytes is an error, which the checker reports. Whole multiples of 8
/// bytes on addresses that are such; what is over is left as it was.
#[inline(always)]
pub fn forbid(start: *const u8, len: usize) {
    listener::forbid(start, len);
}

/// From now on these bytes may be used; their contents count as uninitialised.
#[inline(always)]
pub fn allow(start: *const u8, len: usize) {
    listener::allow(start, len);
}

#[cfg(all(feature = "poison", pool_asan))]
mod listener {
    use super::Checker;
    use core::ffi::c_void;

    unsafe extern "C" {
        /// Of the sanitizer's interface (`sanitizer/asan_interface.h`): changes what it thinks of a
        /// range of addresses, whatever that is, and nothing else.
        safe fn __asan_poison_memory_region(start: *const c_void, len: usize);
        safe fn __asan_unpoison_memory_region(start: *const c_void, len: usize);
    }

    pub(super) fn checker() -> Checker {
        Checker::Asan
    }

    pub(super) fn forbid(start: *const u8, len: usize) {
        __asan_poison_memory_region(start.cast(), len);
    }

    pub(super) fn allow(start: *const u8, len: usize) {
        __asan_unpoison_memory_region(start.cast(), len);
    }
}

#[cfg(all(feature = "poison", not(pool_asan), target_arch = "x86_64", not(miri)))]
mod listener {
    use super::Checker;

    /// `VG_USERREQ__RUNNING_ON_VALGRIND`.
    const RUNNING: usize = 0x1001;
    /// Of memcheck: `VG_USERREQ__MAKE_MEM_NOACCESS` and `VG_USERREQ__MAKE_MEM_UNDEFINED`.
    const NO_ACCESS: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
    const UNDEFINED: usize = NO_ACCESS + 1;

    /// A request to valgrind, `default` where it does not run. The four rotations add up to none,
    /// and the exchange does nothing; valgrind knows the sequence (`valgrind.h`).
    #[inline(always)]
    fn ask(default: usize, request: [usize; 6]) -> usize {
        let answer;
        // SAFETY: outside of valgrind the registers are as they were after it; inside, it reads
        // `request`, which lives, and writes the answer to `rdx`.
        unsafe {
            core::arch::asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") request.as_ptr(),
                inout("rdx") default => answer,
                options(nostack),
            );
        }
        answer
    }

    pub(super) fn checker() -> Checker {
        if ask(0, [RUNNING, 0, 0, 0, 0, 0]) > 0 { Checker::Valgrind } else { Checker::None }
    }

    #[inline(always)]
    pub(super) fn forbid(start: *const u8, len: usize) {
        ask(0, [NO_ACCESS, start.addr(), len, 0, 0, 0]);
    }

    #[inline(always)]
    pub(super) fn allow(start: *const u8, len: usize) {
        ask(0, [UNDEFINED, start.addr(), len, 0, 0, 0]);
    }
}

#[cfg(not(all(feature = "poison", any(pool_asan, all(target_arch = "x86_64", not(miri))))))]
mod listener {
    use super::Checker;

    pub(super) fn checker() -> Checker {
        Checker::None
    }

    #[inline(always)]
    pub(super) fn forbid(_: *const u8, _: usize) {}

    #[inline(always)]
    pub(super) fn allow(_: *const u8, _: usize) {}
}
