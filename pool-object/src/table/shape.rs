//! How a page of the table is laid out. Pure arithmetic.
#![forbid(unsafe_code)]

use core::alloc::Layout;

/// Where things stand in a page, in bytes from its start:
///
/// ```text
/// │ generations: 4 bytes a slot │ the run │ slots … │
/// 0                             run       first     len
/// ```
///
/// Slots come last: then no offset is negative from where the generations are, which looking a
/// key up begins with, and the compiler sees that the place of a value is not null.
///
/// An index is a page's number and a slot's number side by side in bits, so that taking it apart
/// needs no division. Pages whose slots are no power of two many (sources sell powers of two in
/// bytes) leave some numbers unused: those have a generation that no key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of a page, a power of two.
    pub(crate) len: usize,
    /// Slots in it, at least 1.
    pub(crate) slots: usize,
    /// Bits of a slot's number: `slots <= 1 << bits`.
    pub(crate) bits: u32,
    /// Where the page's own run is written down; a multiple of 8.
    pub(crate) run: usize,
    /// Where the slots begin; a multiple of their alignment.
    pub(crate) first: usize,
}

impl Shape {
    /// The length of a page, if it has room for so many slots.
    const USUAL_LEN: usize = 64 << 10;
    /// The shortest page.
    const MIN_LEN: usize = 16 << 10;
    /// Slots that a page has at least, if they are longer than that allows.
    const MIN_SLOTS: usize = 8;
    /// Bits of the number of slots of at least 4 bytes, with 4 bytes more for each.
    pub(crate) const MAX_BITS: u32 = 13;
    /// Bytes for the run.
    const RUN: usize = 2 * size_of::<usize>();

    /// Slots' numbers of a byte are cut out of an index by one instruction.
    const BYTE: u32 = 8;

    /// The shape of the fewest bytes a slot, or one of at most 256 slots if those are but a hundredth
    /// more. Fails to compile if a slot has more than an eighth of the bytes that an object may have.
    pub(crate) const fn of(slot: Layout) -> Self {
        let len = Self::len(slot);
        let densest = Self::densest(slot, len);
        let mut len = len;
        while len >= Self::MIN_LEN {
            let shape = Self::with_bits(slot, len, Self::BYTE);
            if shape.slots * (densest.len / len) * 100 >= densest.slots * 99 {
                return shape;
            }
            len /= 2;
        }
        densest
    }

    /// Bytes of a page with room for `MIN_SLOTS`.
    const fn len(slot: Layout) -> usize {
        let wanted = match slot.size().checked_mul(Self::MIN_SLOTS) {
            Some(bytes) if bytes < isize::MAX as usize / 2 => bytes.next_power_of_two(),
            _ => panic!("objects of a table or pool have at most a sixteenth of isize::MAX bytes"),
        };
        if wanted < Self::USUAL_LEN { Self::USUAL_LEN } else { wanted }
    }

    /// The shape with the most slots.
    const fn densest(slot: Layout, len: usize) -> Self {
        let mut best = Self::with_bits(slot, len, 6);
        let mut bits = 7;
        while bits <= Self::MAX_BITS {
            let shape = Self::with_bits(slot, len, bits);
            if shape.slots > best.slots {
                best = shape;
            }
            bits += 1;
        }
        best
    }

    const fn with_bits(slot: Layout, len: usize, bits: u32) -> Self {
        let run = 4 << bits;
        let first = (run + Self::RUN).next_multiple_of(slot.align());
        let room = len.saturating_sub(first) / slot.size();
        let slots = if room < 1 << bits { room } else { 1 << bits };
        Self { len, slots, bits, run, first }
    }

    /// So many times 64 slots have numbers.
    pub(crate) const fn words(self) -> usize {
        1 << (self.bits - 6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(size: usize, align: usize) -> Shape {
        Shape::of(Layout::from_size_align(size, align).unwrap())
    }

    #[test]
    fn everything_fits_and_nothing_overlaps() {
        let step = if cfg!(miri) { 397 } else { 1 };
        for size in (4..20_000).step_by(step).chain([1 << 16, 100_000, 1 << 20, 5 << 20]) {
            let shape = shape(size, 1);
            assert!(shape.slots >= 1 && shape.slots <= 1 << shape.bits, "{size}");
            assert_eq!((shape.run % 8, shape.words() << 6), (0, 1 << shape.bits));
            assert!(4 << shape.bits <= shape.run);
            assert!(shape.run + 2 * size_of::<usize>() <= shape.first);
            assert!(shape.first + shape.slots * size <= shape.len, "{size}: {shape:?}");
            assert!(shape.len.is_power_of_two());
        }
    }

    #[test]
    fn little_is_lost() {
        let beyond = |size| {
            let shape = shape(size, 8);
            shape.len as f64 / shape.slots as f64 - size as f64
        };
        assert!(beyond(256) < 6.0, "{}", beyond(256));
        assert!(beyond(128) < 5.0, "{}", beyond(128));
        assert!(beyond(64) < 5.0, "{}", beyond(64));
        // Powers of two from a page of the system on fill all but one place of a page.
        assert_eq!((shape(4096, 4096).slots, shape(4096, 4096).first), (15, 4096));
        assert_eq!(shape(1 << 16, 8).slots, 7);
    }
}
