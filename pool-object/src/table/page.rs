//! A page of slots: where its parts stand. A storage file.

use crate::table::shape::Shape;
use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Request, Run};

/// A slot: a value, or a vacant slot's link to the next.
#[repr(C)]
pub(crate) union Slot<T> {
    value: ManuallyDrop<T>,
    next: u32,
}

/// The generation of a slot that has no more tenants, or that is none. Even, so no key has it.
pub(crate) const RETIRED: u32 = 0;

/// A page of [`Shape`] `SHAPE`, in a run of its own. Whoever holds it minds when it is released.
pub(crate) struct Page<T> {
    /// The start of a live run, with provenance for all of it, in which `open` has written the
    /// live bits, the generations and the run.
    base: NonNull<Slot<T>>,
}

impl<T> Clone for Page<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Page<T> {}

impl<T> Page<T> {
    pub(crate) const SHAPE: Shape = Shape::of(Layout::new::<Slot<T>>());
    /// Numbers that fit below this are numbers of slots, real ones or unused.
    pub(crate) const MASK: usize = (1 << Self::SHAPE.bits) - 1;

    /// A page from `source` without a tenant, all slots at generation `first`.
    pub(crate) fn open(source: &impl PageSource, first: u32) -> Result<Self, PageError> {
        let align = align_of::<Slot<T>>().max(8);
        let run = source.acquire(Request::new(Self::SHAPE.len).align(align))?;
        let page = Self { base: run.ptr().cast() };
        for word in 0..Self::SHAPE.words() {
            // SAFETY: within the run, which is nobody else's; aligned, as `Shape` says.
            unsafe { page.live(word).write(0) };
        }
        for slot in 0..=Self::MASK {
            let generation = if slot < Self::SHAPE.slots { first } else { RETIRED };
            // SAFETY: as above.
            unsafe { page.generation(slot).write(generation) };
        }
        // SAFETY: as above.
        unsafe { page.run().write(run) };
        Ok(page)
    }

    /// Gives the page back; its bytes.
    ///
    /// # Safety
    /// It came from this source, has no tenant, and no copy of the handle is used any more.
    pub(crate) unsafe fn close(self, source: &impl PageSource) -> usize {
        // SAFETY: `open` wrote the run, and it is taken out once.
        let run = unsafe { self.run().read() };
        let bytes = run.len();
        // SAFETY: acquired from this source, whole, and used by nobody, as the caller promises.
        unsafe { source.release(run) };
        bytes
    }

    /// Where byte `offset` of the page stands. Wrapping, so that looking is safe; whoever reads or
    /// writes there proves that it is within the page.
    #[inline(always)]
    fn at<U>(self, offset: usize) -> *mut U {
        self.base.as_ptr().wrapping_byte_add(offset).cast()
    }

    /// The slot with this number, within the page below `SHAPE.slots`.
    #[inline(always)]
    pub(crate) fn slot(self, slot: usize) -> *mut Slot<T> {
        self.base.as_ptr().wrapping_add(slot)
    }

    /// The value in a slot.
    #[inline(always)]
    pub(crate) fn value(self, slot: usize) -> *mut T {
        // The union is `repr(C)`: its fields begin where it does.
        self.slot(slot).cast()
    }

    /// A vacant slot's link.
    #[inline(always)]
    pub(crate) fn next(self, slot: usize) -> *mut u32 {
        self.slot(slot).cast()
    }

    /// The generation of the slot with this number, within the page up to `MASK`: odd while it
    /// has a tenant.
    #[inline(always)]
    pub(crate) fn generation(self, slot: usize) -> *mut u32 {
        self.at(Self::SHAPE.generations + slot * size_of::<u32>())
    }

    /// The bits of the slots from `64 * word` on, within the page below `SHAPE.words()`: set while
    /// they have tenants.
    #[inline(always)]
    pub(crate) fn live(self, word: usize) -> *mut u64 {
        self.at(Self::SHAPE.live + word * size_of::<u64>())
    }

    fn run(self) -> *mut Run {
        self.at(Self::SHAPE.run)
    }
}
