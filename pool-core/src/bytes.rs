//! Arithmetic on byte counts: rounding to a granule and classes of power-of-two runs.
//! Pure and checked; the rest of the crate does its sizes with these and nothing else.
#![forbid(unsafe_code)]

/// The most bytes one object may have: `isize::MAX`, as for every Rust allocation.
pub(crate) const MAX_LEN: usize = isize::MAX as usize;

/// log2 of the smallest page that any supported machine has; the caches' lowest class.
pub(crate) const MIN_PAGE_LOG2: u32 = 12;

/// `len` rounded up to a multiple of `granule` (a power of two); `None` above [`MAX_LEN`].
pub(crate) const fn round_up(len: usize, granule: usize) -> Option<usize> {
    let mask = granule - 1;
    match len.checked_add(mask) {
        Some(sum) if sum & !mask <= MAX_LEN => Some(sum & !mask),
        _ => None,
    }
}

/// `ceil(log2(len))` for `len >= 1`; `usize::BITS` for 0.
#[inline(always)]
pub(crate) const fn log2_ceil(len: usize) -> u32 {
    usize::BITS - len.wrapping_sub(1).leading_zeros()
}

/// Whether `address` is a multiple of `align`, a power of two.
#[inline(always)]
pub(crate) const fn is_aligned(address: usize, align: usize) -> bool {
    address & (align - 1) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_up_agrees_with_the_definition() {
        for shift in 0..8 {
            let granule = 1 << shift;
            for len in 0..if cfg!(miri) { 60 } else { 1000 } {
                let expected = (0..).map(|k| k * granule).find(|&m| m >= len).unwrap();
                assert_eq!(round_up(len, granule), Some(expected));
            }
        }
    }

    #[test]
    fn round_up_refuses_what_no_object_may_have() {
        assert_eq!(round_up(MAX_LEN, 1), Some(MAX_LEN));
        assert_eq!(round_up(MAX_LEN, 2), None);
        assert_eq!(round_up(MAX_LEN + 1, 1), None);
        assert_eq!(round_up(usize::MAX, 1 << 12), None);
    }

    #[test]
    fn log2_ceil_agrees_with_next_power_of_two() {
        for len in 1..5000usize {
            assert_eq!(1usize << log2_ceil(len), len.next_power_of_two());
        }
        assert_eq!(log2_ceil(usize::MAX), usize::BITS);
    }
}
