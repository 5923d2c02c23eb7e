//! Spans: runs cut into equal blocks, and lists of free blocks. A storage file.
//!
//! A span is aligned to its length, so that the address of a block tells where its header is. Blocks
//! are cut off lazily: what was never handed out was never touched. The ancestor is Loki's `Chunk`,
//! whose free list of one-byte indices bounded it to 255 blocks; here the links are pointers.

use crate::magazine::Place;
use crate::size_class::SizeClass;
use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use pool_core::{Run, poison};

/// A free block. Its first word is a `Link`; the rest is indeterminate. It carries provenance for
/// its whole span.
pub(crate) type Block = NonNull<Link>;

/// The next block of a list of free blocks.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Link(pub(crate) Option<Block>);

impl Link {
    /// The end of a list.
    pub(crate) const NONE: Self = Self(None);
}

/// At the low end of a span.
#[repr(C, align(64))]
struct Header {
    /// The span itself.
    run: Run,
    /// Neighbours in the list that the span is in.
    next: Cell<Option<Span>>,
    prev: Cell<Option<Span>>,
    /// Blocks that came back: `free_len` of them.
    free: Cell<Link>,
    free_len: Cell<u32>,
    /// Blocks that were ever handed out since the span was last empty: the lowest ones.
    carved: Cell<u32>,
    /// From here on, in bytes, nobody has written since the run came, and it came all zeros; or
    /// `NOT_ZEROED`.
    fresh: Cell<u32>,
    class: Cell<SizeClass>,
}

/// No offset in a span, which is no longer than 512 KiB.
const NOT_ZEROED: u32 = u32::MAX;

const _: () = assert!(size_of::<Header>() <= SizeClass::HEADER);
const _: () = assert!(size_of::<Link>() <= 8 && align_of::<Link>() <= 8);

/// A span. A copy of the handle must not be used after [`into_run`](Self::into_run).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(
    /// The start of a live run with a header that `new` wrote; provenance for the run.
    NonNull<Header>,
);

impl Span {
    /// An empty span of `class`.
    ///
    /// # Safety
    /// The run is live, at least `class.span_len()` long and aligned to that, and the caller gives
    /// up its ownership.
    pub(crate) unsafe fn new(run: Run, class: SizeClass) -> Self {
        let span = Self(run.ptr().cast());
        let fresh = Cell::new(if run.is_zeroed() { 0 } else { NOT_ZEROED });
        let header = Header {
            fresh,
            run,
            next: Cell::new(None),
            prev: Cell::new(None),
            free: Cell::new(Link::NONE),
            free_len: Cell::new(0),
            carved: Cell::new(0),
            class: Cell::new(class),
        };
        // SAFETY: the run is ours, longer than a header, and aligned to more.
        unsafe { span.0.write(header) };
        span.hide();
        span
    }

    /// Tells a memory checker that all blocks are free.
    fn hide(self) {
        let first = self.0.cast::<u8>().as_ptr().wrapping_add(SizeClass::HEADER);
        poison::forbid(first, self.len() - SizeClass::HEADER);
    }

    /// The span of a block.
    ///
    /// # Safety
    /// The block lies in a live span of `class`, and has provenance for the span.
    #[inline(always)]
    pub(crate) unsafe fn of(block: NonNull<u8>, class: SizeClass) -> Self {
        let mask = !(class.span_len() - 1);
        let start = block.as_ptr().map_addr(|address| address & mask).cast();
        // SAFETY: spans are aligned to their length, so this is the start of the block's, which is
        // not null.
        Self(unsafe { NonNull::new_unchecked(start) })
    }

    #[inline(always)]
    fn header(&self) -> &Header {
        // SAFETY: by the type's invariant the header was written and its run is live; it is only
        // changed through its cells.
        unsafe { self.0.as_ref() }
    }

    /// Gives up the span for its run.
    ///
    /// # Safety
    /// No list has the span, no block of it is used, and no copy of the handle is used after this.
    pub(crate) unsafe fn into_run(self) -> Run {
        poison::allow(self.0.as_ptr().wrapping_add(1).cast(), self.len() - size_of::<Header>());
        // SAFETY: the header is live, and moved out of once, as the caller promises.
        unsafe { self.0.read() }.run
    }

    /// Makes all its blocks free and its class `class`.
    ///
    /// # Safety
    /// No block of it is used or in a list, and the span is as long as those of `class`.
    pub(crate) unsafe fn reset(self, class: SizeClass) {
        let header = self.header();
        debug_assert_eq!(header.class.get().span_len(), class.span_len());
        // `NOT_ZEROED` is more than that.
        header.fresh.set(header.fresh.get().max(self.carved_end() as u32));
        header.free.set(Link::NONE);
        header.free_len.set(0);
        header.carved.set(0);
        header.class.set(class);
        self.hide();
    }

    pub(crate) fn class(self) -> SizeClass {
        self.header().class.get()
    }

    /// Its address, a multiple of its length.
    pub(crate) fn start(self) -> usize {
        self.0.addr().get()
    }

    /// Bytes of its run.
    pub(crate) fn len(self) -> usize {
        self.header().run.len()
    }

    /// Blocks that are not in the span: used, or in a magazine.
    pub(crate) fn out(self) -> usize {
        let header = self.header();
        (header.carved.get() - header.free_len.get()) as usize
    }

    /// Blocks that were handed out at least once since the span was last empty.
    pub(crate) fn carved(self) -> usize {
        self.header().carved.get() as usize
    }

    /// Bytes from its start to the end of the last block that was handed out.
    fn carved_end(self) -> usize {
        self.class().first_block() + self.carved() * self.class().size()
    }

    /// Whether no block is left in it.
    pub(crate) fn is_full(self) -> bool {
        self.header().free_len.get() == 0 && self.carved() == self.class().blocks()
    }

    /// Blocks that it is cheap to take out at once: all that came back; else, of those that were never
    /// out, a page of them, which is touched anyway then, and as many as were taken before, up to
    /// four pages, since more will follow. 0 if the span is full.
    pub(crate) fn at_hand(self) -> usize {
        let (header, class) = (self.header(), self.class());
        if header.free_len.get() > 0 {
            return header.free_len.get() as usize;
        }
        let bytes = (self.carved() * class.size()).clamp(4 << 10, 16 << 10);
        (bytes / class.size()).max(1).min(class.blocks() - self.carved())
    }

    /// Takes at most `most` blocks out, of those that came back, else of those that were never out.
    /// Returns how many: they are in the first places, the one to use first last.
    ///
    /// # Safety
    /// So many places can be written.
    pub(crate) unsafe fn take(self, most: usize, places: NonNull<Place>) -> usize {
        let header = self.header();
        let back = (header.free_len.get() as usize).min(most);
        let fresh = (self.class().blocks() - self.carved()).min(most);
        let (taken, carved) = if back > 0 { (back, 0) } else { (fresh, fresh) };
        if back > 0 {
            // SAFETY: the caller's promise; so many came back.
            unsafe { self.take_back(back, places) };
        } else {
            // SAFETY: the caller's promise; so many are left.
            unsafe { self.carve(fresh, places) };
        }
        header.free_len.set(header.free_len.get() - back as u32);
        header.carved.set(header.carved.get() + carved as u32);
        taken
    }

    /// # Safety
    /// So many blocks came back, and so many places can be written.
    unsafe fn take_back(self, len: usize, places: NonNull<Place>) {
        let header = self.header();
        for index in (0..len).rev() {
            let Link(Some(block)) = header.free.get() else { return };
            // SAFETY: in the free list: a block of ours, its first word a link.
            header.free.set(unsafe { block.read() });
            poison::forbid(block.as_ptr().cast(), size_of::<Link>());
            // SAFETY: below `len`, as the caller promises.
            let place = unsafe { places.add(index) };
            // SAFETY: as above.
            unsafe { place.write(Cell::new(block.cast())) };
        }
    }

    /// # Safety
    /// So many blocks were never out, and so many places can be written.
    unsafe fn carve(self, len: usize, places: NonNull<Place>) {
        let size = self.class().size();
        let end = self.class().first_block() + (self.carved() + len) * size;
        // SAFETY: so many blocks are left, so this is at most the end of the run.
        let mut block = unsafe { self.0.cast::<u8>().add(end) };
        let mut next = |place: &mut MaybeUninit<Place>| {
            // SAFETY: done `len` times, so at least the first of these blocks.
            block = unsafe { block.sub(size) };
            place.write(Cell::new(block));
        };
        let mut places = NonNull::slice_from_raw_parts(places.cast(), len);
        // SAFETY: so many places, which the caller has alone.
        let mut fours = unsafe { places.as_mut() }.chunks_exact_mut(4);
        fours.by_ref().flatten().for_each(&mut next);
        fours.into_remainder().iter_mut().for_each(next);
    }

    /// Puts the first of these blocks back, as many as lie in this span. Returns the others.
    ///
    /// # Safety
    /// They are free blocks of the span's class, which nobody uses nor keeps.
    #[inline(always)]
    pub(crate) unsafe fn put(self, blocks: &[Place], class: SizeClass) -> &[Place] {
        let (header, start) = (self.header(), self.0.addr().get());
        let (mut free, mut rest) = (header.free.get(), blocks);
        let elsewhere = |block: &Place| block.get().addr().get() ^ start;
        let mut put = |block: &Place| {
            let block: Block = block.get().cast();
            poison::allow(block.as_ptr().cast(), size_of::<Link>());
            // SAFETY: the block is ours now, aligned to 8, and at least 8 bytes long.
            unsafe { block.write(free) };
            free = Link(Some(block));
        };
        // Four at a time: half the instructions.
        while let [a, b, c, d, others @ ..] = rest {
            if elsewhere(a) | elsewhere(b) | elsewhere(c) | elsewhere(d) >= class.span_len() {
                break;
            }
            [a, b, c, d].into_iter().for_each(&mut put);
            rest = others;
        }
        while let [first, others @ ..] = rest {
            if elsewhere(first) >= class.span_len() {
                break;
            }
            put(first);
            rest = others;
        }
        header.free.set(free);
        header.free_len.set(header.free_len.get() + (blocks.len() - rest.len()) as u32);
        debug_assert!(header.free_len.get() <= header.carved.get());
        rest
    }

    /// Takes a block out that nobody has written since the run came all zeros, and does not write it
    /// either. `None` if there is none, or if some came back: those are in memory already.
    pub(crate) fn take_zeroed(self) -> Option<NonNull<u8>> {
        let (header, offset) = (self.header(), self.carved_end());
        let wanted = header.free_len.get() == 0 && self.carved() < self.class().blocks();
        if !wanted || offset < header.fresh.get() as usize {
            return None;
        }
        header.carved.set(header.carved.get() + 1);
        // SAFETY: block number `carved` was below `blocks`, so it lies in the run.
        Some(unsafe { self.0.byte_add(offset) }.cast())
    }

    /// The span behind it in its list.
    pub(crate) fn next(self) -> Option<Self> {
        self.header().next.get()
    }

    /// Its neighbours in the list that it is in: for that list.
    pub(crate) fn links(&self) -> (&Cell<Option<Self>>, &Cell<Option<Self>>) {
        let header = self.header();
        (&header.prev, &header.next)
    }

    /// Whether this is one of the span's blocks that were handed out at least once.
    pub(crate) fn holds(self, block: Block) -> bool {
        let class = self.class();
        let offset = block.addr().get().wrapping_sub(self.0.addr().get());
        let within = offset.wrapping_sub(class.first_block());
        within < self.carved() * class.size() && within % class.size() == 0
    }

    /// Counts the blocks of its free list, and checks that each is one of its blocks.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn check(self) -> Result<(), &'static str> {
        let (header, class) = (self.header(), self.class());
        if self.0.addr().get() % class.span_len() != 0 || header.run.ptr() != self.0.cast() {
            return Err("a span is not where its header says");
        }
        if self.carved() > class.blocks() || header.free_len.get() > header.carved.get() {
            return Err("a span counts more blocks than it has");
        }
        let (mut len, mut link) = (0, header.free.get());
        while let Some(block) = link.0 {
            if !self.holds(block) {
                return Err("a free list leads out of its span: a freed block was written to");
            }
            len += 1;
            if len > header.free_len.get() {
                return Err("a free list is longer than its count: a block was freed twice");
            }
            // SAFETY: it is a whole block of this span, so its first word can be read; and it was
            // freed, so that word is a link.
            link = unsafe { block.read() };
        }
        if len == header.free_len.get() {
            Ok(())
        } else {
            Err("a free list is shorter than its count: a freed block was written to")
        }
    }
}
