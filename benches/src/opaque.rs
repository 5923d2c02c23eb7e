//! What the optimiser must not see through.

use std::alloc::Layout;
use std::hint::black_box;

/// Makes the optimiser believe that `ptr` is used here by code that it does not know, which may
/// read and write all memory. Unlike [`black_box`] it costs no instruction: that one sends its
/// argument through the stack, which is a tenth of a small pair.
#[inline(always)]
pub fn escape(ptr: *mut u8) {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    // SAFETY: no instruction is in there, so nothing is done to memory, stack or flags.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) ptr, options(nostack, preserves_flags));
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    black_box(ptr);
}

/// As [`black_box`], for set-up code.
pub fn hide<T>(value: T) -> T {
    black_box(value)
}

/// The layout, of which the optimiser knows nothing from here on. Costs no instruction but those that
/// put it into registers.
#[inline(always)]
#[must_use]
pub fn unknown(layout: Layout) -> Layout {
    let (size, align) = (unknown_number(layout.size()), unknown_number(layout.align()));
    // SAFETY: the numbers are those of a layout.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

#[inline(always)]
fn unknown_number(number: usize) -> usize {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    {
        let mut number = number;
        // SAFETY: no instruction is in there, so nothing is done to memory, stack or flags, and the
        // number stays what it was.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) number, options(nomem, nostack, preserves_flags));
        }
        number
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    black_box(number)
}
