//! A page of slots: where its parts stand. A storage file.

use crate::table::live::{self, Group};
use crate::table::shape::Shape;
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Request, Run};

/// A slot: a value, or a vacant slot's link to the next.
#[repr(C)]
pub(crate) union Slot<T> {
    value: ManuallyDrop<T>,
    next: u32,
}

/// The generation of a slot that has no more tenants, or that is none. Not `LIVE`, so no key has it.
pub(crate) const RETIRED: u32 = 0;

/// The generations of a page that is not there.
static ABSENT: [Group; 1 << (Shape::MAX_BITS - 6)] =
    [const { Group([RETIRED; 64]) }; 1 << (Shape::MAX_BITS - 6)];

/// A page of [`Shape`] `SHAPE`, in a run of its own, or none. Whoever holds it minds when it is
/// released.
pub(crate) struct Page<T> {
    /// Of a page: its generations, with provenance for the whole of a live run in which `open` has
    /// written the generations and the run. Of none: `ABSENT`, so that looking a
    /// key up needs not ask which it is.
    generations: NonNull<u32>,
    slots: PhantomData<*mut Slot<T>>,
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

    /// No page. Generations may be read, and are `RETIRED`.
    pub(crate) fn absent() -> Self {
        const { assert!(Self::SHAPE.bits <= Shape::MAX_BITS) };
        Self { generations: NonNull::from(&ABSENT).cast(), slots: PhantomData }
    }

    /// Whether there is a page.
    #[inline]
    pub(crate) fn is_there(self) -> bool {
        self.generations != Self::absent().generations
    }

    /// A page from `source` without a tenant, all slots at generation `first`.
    pub(crate) fn open(source: &impl PageSource, first: u32) -> Result<Self, PageError> {
        let align = align_of::<Slot<T>>().max(align_of::<Group>());
        let run = source.acquire(Request::new(Self::SHAPE.len).align(align))?;
        let page = Self { generations: run.ptr().cast(), slots: PhantomData };
        for slot in 0..=Self::MASK {
            // SAFETY: the slot's number is at most `MASK`.
            let generation = unsafe { page.generation(slot) };
            // SAFETY: within the run, which is nobody else's; aligned, as `Shape` says.
            unsafe { generation.write(if slot < Self::SHAPE.slots { first } else { RETIRED }) };
        }
        // SAFETY: the page is there.
        let place = unsafe { page.run() };
        // SAFETY: as above.
        unsafe { place.write(run) };
        Ok(page)
    }

    /// Gives the page back; its bytes.
    ///
    /// # Safety
    /// It came from this source, has no tenant, and no copy of the handle is used any more.
    pub(crate) unsafe fn close(self, source: &impl PageSource) -> usize {
        // SAFETY: a page that came from a source is there.
        let place = unsafe { self.run() };
        // SAFETY: `open` wrote the run, and it is taken out once.
        let run = unsafe { place.read() };
        let bytes = run.len();
        // SAFETY: acquired from this source, whole, and used by nobody, as the caller promises.
        unsafe { source.release(run) };
        bytes
    }

    /// Its bytes.
    ///
    /// # Safety
    /// The page is live.
    pub(crate) unsafe fn bytes(self) -> usize {
        // SAFETY: the page is there.
        let place = unsafe { self.run() };
        // SAFETY: `open` wrote the run, which stays until `close`.
        unsafe { place.as_ref() }.len()
    }

    /// Where the page's byte `offset` stands.
    ///
    /// # Safety
    /// There is a page, of at least so many bytes.
    #[inline(always)]
    unsafe fn at<U>(self, offset: usize) -> NonNull<U> {
        // SAFETY: the sum is within the run that `generations` points to.
        unsafe { self.generations.byte_add(offset) }.cast()
    }

    /// A slot.
    ///
    /// # Safety
    /// There is a page, and the slot's number is below `SHAPE.slots`.
    #[inline(always)]
    unsafe fn slot(self, slot: usize) -> NonNull<Slot<T>> {
        // Two steps, not one sum, which the compiler could not know to be within one object: it would
        // ask whether the result is null.
        // SAFETY: as `Shape` says.
        let first = unsafe { self.at::<Slot<T>>(Self::SHAPE.first) };
        // SAFETY: the page has more slots than that.
        unsafe { first.add(slot) }
    }

    /// The value in a slot.
    ///
    /// # Safety
    /// There is a page, and the slot's number is below `SHAPE.slots`.
    #[inline(always)]
    unsafe fn value(self, slot: usize) -> NonNull<T> {
        // The union is `repr(C)`: its fields begin where it does.
        // SAFETY: the caller's promise.
        unsafe { self.slot(slot) }.cast()
    }

    /// A vacant slot's link.
    ///
    /// # Safety
    /// As `value`.
    #[inline(always)]
    unsafe fn next(self, slot: usize) -> NonNull<u32> {
        // SAFETY: the caller's promise.
        unsafe { self.slot(slot) }.cast()
    }

    /// Where the generation of a slot is: `LIVE` while it has a tenant.
    ///
    /// # Safety
    /// The slot's number is at most `MASK`. To be written it needs a page.
    #[inline(always)]
    unsafe fn generation(self, slot: usize) -> NonNull<u32> {
        // SAFETY: there are so many generations, of a page or of none.
        unsafe { self.generations.add(slot) }
    }

    /// A bit for each slot from `64 * word` on, the first one lowest: whether it has a tenant.
    ///
    /// # Safety
    /// The page is live or not there, and `word` is below `SHAPE.words()`.
    #[inline(always)]
    pub(crate) unsafe fn live(self, word: usize) -> u64 {
        // SAFETY: there are 64 generations for each word, of a page or of none.
        let first = unsafe { self.generations.add(64 * word) };
        // SAFETY: as above, initialised, aligned as the run, and not written before this returns.
        live::bits(unsafe { first.cast::<Group>().as_ref() })
    }

    /// # Safety
    /// There is a page.
    unsafe fn run(self) -> NonNull<Run> {
        // SAFETY: as `Shape` says.
        unsafe { self.at(Self::SHAPE.run) }
    }
}

/// One slot of a page. Methods that are not safe need the page to be there and live, and the slot's
/// number to be below `SHAPE.slots`; and nobody else at the same place meanwhile.
pub(crate) struct Spot<T> {
    pub(crate) page: Page<T>,
    pub(crate) slot: usize,
}

impl<T> Clone for Spot<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Spot<T> {}

impl<T> Spot<T> {
    /// The generation; `LIVE` while the slot has a tenant.
    ///
    /// # Safety
    /// The page is live or not there, and the number at most `MASK`.
    #[inline(always)]
    pub(crate) unsafe fn generation(self) -> u32 {
        // SAFETY: the caller's promise.
        let place = unsafe { self.page.generation(self.slot) };
        // SAFETY: `open` initialised it, or it is one of `ABSENT`, which are never written.
        unsafe { place.read() }
    }

    /// # Safety
    /// The type's.
    #[inline(always)]
    pub(crate) unsafe fn set_generation(self, generation: u32) {
        // SAFETY: the caller's promise.
        let place = unsafe { self.page.generation(self.slot) };
        // SAFETY: within the live run, aligned.
        unsafe { place.write(generation) };
    }

    /// Where the value is.
    ///
    /// # Safety
    /// The type's.
    #[inline(always)]
    pub(crate) unsafe fn value(self) -> NonNull<T> {
        // SAFETY: the caller's promise.
        unsafe { self.page.value(self.slot) }
    }

    /// The link.
    ///
    /// # Safety
    /// The type's, and a link was written since the slot has had no tenant.
    #[inline(always)]
    pub(crate) unsafe fn next(self) -> u32 {
        // SAFETY: the caller's promise.
        let place = unsafe { self.page.next(self.slot) };
        // SAFETY: initialised, as the caller promises.
        unsafe { place.read() }
    }

    /// # Safety
    /// The type's, and the slot has no tenant.
    #[inline(always)]
    pub(crate) unsafe fn set_next(self, next: u32) {
        // SAFETY: the caller's promise.
        let place = unsafe { self.page.next(self.slot) };
        // SAFETY: a slot is long and aligned enough for a link, and this one has no value.
        unsafe { place.write(next) };
    }
}
