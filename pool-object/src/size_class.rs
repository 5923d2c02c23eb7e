//! Size classes: which block a layout gets, and how spans are cut into blocks. Pure arithmetic.
#![forbid(unsafe_code)]

use core::alloc::Layout;

/// A size of blocks. Every layout of at most [`MAX_SIZE`](Self::MAX_SIZE) bytes belongs to one class,
/// and all layouts of a class share its free blocks.
///
/// Sizes go up by 8 bytes to 128, then in eight steps a doubling: 8, 16, … 120, 128, 144, 160, … 240,
/// 256, 288, … 32,768. So at most 7 bytes of a block up to 128 bytes are unused, and at most 11.2 %
/// of a larger one.
///
/// ```
/// use core::alloc::Layout;
/// use pool_object::SizeClass;
/// let class = SizeClass::of(Layout::new::<[u64; 5]>()).unwrap();
/// assert_eq!((class.size(), class.align()), (40, 8));
/// let class = SizeClass::of(Layout::from_size_align(257, 1).unwrap()).unwrap();
/// assert_eq!(class.size(), 288);
/// assert!(SizeClass::of(Layout::new::<[u8; 100_000]>()).is_none());
/// ```
///
/// **Alignment.** A layout's size is rounded up to a multiple of its alignment first. Class sizes up
/// to 2^(k+1) are the multiples of 2^(k-3) above 2^k; so either the alignment is at most that step,
/// and every such class is a multiple of it, or the rounded size is a class size itself. Either way
/// the class' size is a multiple of the alignment, and so is the address of each of its blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SizeClass(
    /// Below `COUNT`.
    u8,
);

/// Up to here classes are 8 bytes apart.
const FINE: usize = 128;
/// Classes up to `FINE`.
const FINE_COUNT: usize = FINE / 8;
/// Up to here a table knows the class.
const TABLED: usize = 4096;

/// The class of each size up to `TABLED`, by `(size - 1) / 8`: half a kilobyte, and an instruction
/// where arithmetic takes six. Not a part of each heap, which would save an instruction more but
/// not be known when the layout is constant.
static TABLE: [SizeClass; TABLED / 8] = {
    let mut table = [SizeClass(0); TABLED / 8];
    let mut index = 0;
    while index < table.len() {
        table[index] = SizeClass::of_size(8 * index + 1);
        index += 1;
    }
    table
};

/// Tells the compiler that a branch is rare.
#[cold]
#[inline(always)]
const fn rare() {}

impl SizeClass {
    /// Bytes of the largest class.
    pub const MAX_SIZE: usize = 32 << 10;

    /// The smallest class.
    pub(crate) const SMALLEST: Self = Self(0);

    /// How many classes there are.
    pub const COUNT: usize = FINE_COUNT + 8 * (Self::MAX_SIZE.ilog2() - FINE.ilog2()) as usize;

    /// Bytes at the start of each span that are not blocks.
    pub(crate) const HEADER: usize = 64;

    /// The shortest span.
    pub(crate) const MIN_SPAN: usize = 64 << 10;

    /// The class of a layout; `None` if it needs a run of its own. A constant layout's is a
    /// constant, another's costs a few instructions and as many again if its alignment
    /// is not a constant. A size of 0 counts as 1.
    #[inline(always)]
    #[must_use]
    pub const fn of(layout: Layout) -> Option<Self> {
        match Self::of_common(layout) {
            Some(class) => Some(class),
            None => Self::of_rare(layout),
        }
    }

    /// The class of a layout that the table has: of 1 byte to 4 KiB.
    #[inline(always)]
    pub(crate) const fn of_common(layout: Layout) -> Option<Self> {
        let mut size = layout.size();
        // Classes are multiples of 8 bytes anyway.
        if layout.align() > 8 {
            rare();
            size = Self::rounded(layout);
        }
        let index = size.wrapping_sub(1) / 8;
        if index < TABLE.len() { Some(TABLE[index]) } else { None }
    }

    /// The class of a layout that the table has not, if there is one.
    #[cold]
    #[inline(never)]
    const fn of_rare(layout: Layout) -> Option<Self> {
        let size = Self::rounded(layout);
        let size = if size == 0 { layout.align() } else { size };
        if size <= Self::MAX_SIZE { Some(Self::of_size(size)) } else { None }
    }

    /// The layout's size rounded up to a multiple of its alignment; at most `isize::MAX`, as `Layout`
    /// promises.
    #[inline(always)]
    const fn rounded(layout: Layout) -> usize {
        let mask = layout.align() - 1;
        // No overflow: at most `isize::MAX` plus as much again.
        (layout.size() + mask) & !mask
    }

    /// The smallest class with at least `size` bytes, from 1 to `MAX_SIZE`.
    const fn of_size(size: usize) -> Self {
        let last = size - 1;
        if last < FINE {
            return Self((last / 8) as u8);
        }
        let doubling = last.ilog2() - FINE.ilog2();
        let step = (last >> (doubling + FINE.ilog2() - 3)) & 7;
        Self((FINE_COUNT + 8 * doubling as usize + step) as u8)
    }

    /// The class with this number, below [`COUNT`](Self::COUNT): the smallest is 0.
    #[must_use]
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index as u8)) } else { None }
    }

    /// Its number, below [`COUNT`](Self::COUNT).
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All classes, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Bytes of its blocks.
    #[inline]
    #[must_use]
    pub const fn size(self) -> usize {
        self.cut().size as usize
    }

    /// What the addresses of its blocks are multiples of: the largest power of two in its size.
    #[inline]
    #[must_use]
    pub const fn align(self) -> usize {
        let size = self.size();
        size & size.wrapping_neg()
    }

    /// Bytes of its spans, a power of two, to which they are aligned: 64 KiB for blocks up to
    /// 4 KiB, above that sixteen blocks.
    #[inline]
    #[must_use]
    pub const fn span_len(self) -> usize {
        self.cut().span_len as usize
    }

    /// Bytes from the start of a span to its first block.
    #[inline]
    #[must_use]
    pub const fn first_block(self) -> usize {
        self.cut().first_block as usize
    }

    /// Blocks in a span.
    #[inline]
    #[must_use]
    pub const fn blocks(self) -> usize {
        self.cut().blocks as usize
    }

    #[inline(always)]
    const fn cut(self) -> &'static Cut {
        &CUTS[self.index()]
    }
}

/// How the spans of a class are cut.
struct Cut {
    size: u16,
    first_block: u16,
    blocks: u16,
    span_len: u32,
}

/// By the number of the class.
static CUTS: [Cut; SizeClass::COUNT] = {
    let mut cuts = [const { Cut::of(0) }; SizeClass::COUNT];
    let mut index = 0;
    while index < cuts.len() {
        cuts[index] = Cut::of(index);
        index += 1;
    }
    cuts
};

impl Cut {
    const fn of(index: usize) -> Self {
        let size = if index < FINE_COUNT {
            8 * (index + 1)
        } else {
            let (doubling, step) = ((index - FINE_COUNT) / 8, (index - FINE_COUNT) % 8);
            (FINE + (step + 1) * (FINE / 8)) << doubling
        };
        let len = (16 * size).next_power_of_two();
        let len = if len < SizeClass::MIN_SPAN { SizeClass::MIN_SPAN } else { len };
        let first = SizeClass::HEADER.next_multiple_of(size & size.wrapping_neg());
        let blocks = (len - first) / size;
        Self {
            size: size as u16,
            first_block: first as u16,
            blocks: blocks as u16,
            span_len: len as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_ascend_and_are_what_the_docs_say() {
        let mut last = 0;
        for (index, class) in SizeClass::all().enumerate() {
            assert_eq!((class.index(), SizeClass::from_index(index)), (index, Some(class)));
            assert!(class.size() > last);
            assert_eq!(class.size() % 8, 0);
            last = class.size();
        }
        assert_eq!(last, SizeClass::MAX_SIZE);
        assert_eq!(SizeClass::from_index(SizeClass::COUNT), None);
        assert_eq!(SizeClass::COUNT, 80);
    }

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        let sizes: Vec<usize> = SizeClass::all().map(SizeClass::size).collect();
        for size in 1..=SizeClass::MAX_SIZE {
            let class = SizeClass::of(Layout::from_size_align(size, 1).unwrap()).unwrap();
            assert_eq!(class, SizeClass::of_size(size));
            assert_eq!(class.index(), sizes.partition_point(|&class| class < size), "{size}");
            let waste = class.size() - size;
            assert!(waste < 8 || waste * 1000 <= 112 * class.size(), "{size}: {waste}");
        }
        let beyond = Layout::from_size_align(SizeClass::MAX_SIZE + 1, 1).unwrap();
        assert_eq!(SizeClass::of(beyond), None);
    }

    #[test]
    fn every_alignment_is_met() {
        let step = if cfg!(miri) { 117 } else { 1 };
        let far = (1 << 12..=SizeClass::MAX_SIZE)
            .step_by(if cfg!(miri) { 6101 } else { 61 })
            .chain([SizeClass::MAX_SIZE + 1]);
        let sizes: Vec<usize> = (0..=1 << 12).step_by(step).chain(far).collect();
        for align in (0..20).map(|log2| 1usize << log2) {
            for &size in &sizes {
                let layout = Layout::from_size_align(size, align).unwrap();
                let Some(class) = SizeClass::of(layout) else {
                    let rounded = size.next_multiple_of(align).max(align);
                    assert!(rounded > SizeClass::MAX_SIZE, "{layout:?}");
                    continue;
                };
                assert!(class.size() >= size && class.size() % align == 0, "{layout:?}");
                assert!(class.align() % align == 0, "{layout:?}");
                // Whatever is not smaller and fits the block is of the same class.
                let full = Layout::from_size_align(class.size(), align).unwrap();
                assert_eq!(SizeClass::of(full), Some(class), "{layout:?}");
            }
        }
        let largest = Layout::from_size_align(isize::MAX as usize, 1).unwrap();
        assert_eq!(SizeClass::of(largest), None);
        let strictest = Layout::from_size_align(0, 1 << (usize::BITS - 2)).unwrap();
        assert_eq!(SizeClass::of(strictest), None);
    }

    #[test]
    fn spans_hold_whole_aligned_blocks_and_waste_little() {
        for class in SizeClass::all() {
            let (len, size) = (class.span_len(), class.size());
            assert!(len.is_power_of_two() && len <= 16 * SizeClass::MAX_SIZE);
            assert!(class.first_block() >= SizeClass::HEADER);
            assert_eq!(class.first_block() % class.align(), 0);
            let end = class.first_block() + class.blocks() * size;
            assert!(end <= len && end + size > len);
            // A sixteenth at most, for powers of two, whose header takes a block's place.
            assert!((len - class.blocks() * size) * 16 <= len, "{size}");
        }
        let waste = |size: usize| {
            let class = SizeClass::of_size(size);
            class.span_len() as f64 / class.blocks() as f64
        };
        assert!(waste(40) < 40.1);
    }
}
