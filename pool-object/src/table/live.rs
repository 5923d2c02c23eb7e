//! Which of 64 slots have tenants. A storage file.

/// The bit of a generation that is set while the slot has a tenant.
pub(crate) const LIVE: u32 = 1 << 31;

/// The generations of 64 slots, side by side.
#[repr(C, align(16))]
pub(crate) struct Group(pub(crate) [u32; 64]);

/// A bit for each generation, the first one lowest: whether it is `LIVE`.
///
/// The table keeps no bits beside the generations: to have a word of them changed by everything that
/// comes and goes was a tenth of that, and to read them off here costs an instruction a value.
#[inline(always)]
pub(crate) fn bits(group: &Group) -> u64 {
    imp::bits(group)
}

/// Sixteen at a time: the narrowing steps saturate, and so keep the sign, which is `LIVE`.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[allow(unused_unsafe, reason = "newer compilers know most of these calls to be safe")]
mod imp {
    use super::Group;
    use core::arch::x86_64::{
        __m128i, _mm_load_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
    };

    #[inline(always)]
    pub(super) fn bits(group: &Group) -> u64 {
        (0..4).fold(0, |bits, part| {
            let halves = [part * 16, part * 16 + 8].map(|first| eight(group, first));
            // SAFETY: the target has SSE2.
            let signs = unsafe { _mm_packs_epi16(halves[0], halves[1]) };
            // SAFETY: the target has SSE2.
            let signs = unsafe { _mm_movemask_epi8(signs) };
            bits | u64::from(signs as u16) << (part * 16)
        })
    }

    /// The signs of eight generations from the `first` on, in 16 bits each.
    #[inline(always)]
    fn eight(group: &Group, first: usize) -> __m128i {
        let fours = [first, first + 4].map(|first| {
            let four = group.0[first..first + 4].as_ptr();
            // SAFETY: 16 bytes of a live slice, aligned as the group: `first` is a multiple of 4. The
            // target has SSE2.
            unsafe { _mm_load_si128(four.cast()) }
        });
        // SAFETY: the target has SSE2.
        unsafe { _mm_packs_epi32(fours[0], fours[1]) }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
use self::one_by_one as imp;

#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
mod one_by_one {
    use super::{Group, LIVE};

    #[inline(always)]
    pub(super) fn bits(group: &Group) -> u64 {
        let bit = |(place, generation): (usize, &u32)| u64::from(generation & LIVE != 0) << place;
        group.0.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_its_generations_own() {
        for dead in [0, 1, LIVE - 1, 0x7f80, 0x8000] {
            for live in [LIVE, u32::MAX, LIVE | 0x7fff, LIVE + 1] {
                let mut mask = 0x9e37_79b9_7f4a_7c15_u64;
                for place in (0..64).step_by(if cfg!(miri) { 64 } else { 1 }) {
                    for bits in [1 << place, !(1 << place), mask] {
                        let of = |place| if bits >> place & 1 != 0 { live } else { dead };
                        let group = Group(core::array::from_fn(of));
                        assert_eq!(super::bits(&group), bits);
                        assert_eq!(one_by_one::bits(&group), bits);
                    }
                    mask = mask.rotate_left(7) ^ mask >> 3;
                }
            }
        }
    }
}
