//! A stack of idle objects' places. A storage file.

use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use pool_core::{PageError, PageSource, Request, Run};

/// Places of idle objects, the last one put on top: its memory is the likeliest to be in the
/// processor's caches.
///
/// Apart from the objects, where links between them would do: so that the next one can be told
/// without touching this one, and one position is list, count and bound. For one thread at a time.
///
/// Invariants: `base <= low <= top <= end`, all multiples of a place apart, within the run or
/// dangling together; what lies from `base` to `top` is initialised.
pub(crate) struct Stack<T> {
    base: Cell<NonNull<NonNull<T>>>,
    top: Top<T>,
    /// The lowest that `top` was since `rest`.
    low: Cell<NonNull<NonNull<T>>>,
    /// Where `top` may be at most: at the end of the run, or of what may be idle.
    end: Cell<NonNull<NonNull<T>>>,
    /// The most that may be idle.
    limit: Cell<usize>,
    run: Cell<Option<Run>>,
    /// Places that the run has room for.
    capacity: Cell<usize>,
}

/// The place behind the top one. It is atomic for its instructions alone, since a stack is for one
/// thread at a time: what is read anew to be moved by one is moved where it stands, by one instruction
/// on memory.
struct Top<T>(AtomicPtr<NonNull<T>>);

impl<T> Top<T> {
    const fn new(place: NonNull<NonNull<T>>) -> Self {
        Self(AtomicPtr::new(place.as_ptr()))
    }

    #[inline(always)]
    fn get(&self) -> NonNull<NonNull<T>> {
        // SAFETY: made of one that is not null, by `new` or `set`, and moved within its run.
        unsafe { NonNull::new_unchecked(self.0.load(Relaxed)) }
    }

    fn set(&self, place: NonNull<NonNull<T>>) {
        self.0.store(place.as_ptr(), Relaxed);
    }

    /// Moves it by so many places.
    ///
    /// # Safety
    /// To within the run, or its end.
    #[inline(always)]
    unsafe fn advance(&self, places: isize) {
        // SAFETY: the caller's promise.
        self.0.store(unsafe { self.0.load(Relaxed).offset(places) }, Relaxed);
    }
}

impl<T> Stack<T> {
    pub(crate) const fn new() -> Self {
        Self {
            base: Cell::new(NonNull::dangling()),
            top: Top::new(NonNull::dangling()),
            low: Cell::new(NonNull::dangling()),
            end: Cell::new(NonNull::dangling()),
            limit: Cell::new(usize::MAX),
            run: Cell::new(None),
            capacity: Cell::new(0),
        }
    }

    /// Places in it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.top.get().addr().get() - self.base.get().addr().get()) / size_of::<NonNull<T>>()
    }

    /// Places that have not been popped since `rest`.
    pub(crate) fn rested(&self) -> usize {
        (self.low.get().addr().get() - self.base.get().addr().get()) / size_of::<NonNull<T>>()
    }

    /// Counts from now on which places rest.
    pub(crate) fn rest(&self) {
        self.low.set(self.top.get());
    }

    /// The place on top. One comparison tells that there is one, and that it has not rested.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<NonNull<T>> {
        let top = self.top.get();
        if top == self.low.get() {
            return self.pop_rested();
        }
        // SAFETY: above the lowest, so there is one below, within the run.
        unsafe { self.top.advance(-1) };
        // SAFETY: as above.
        let top = unsafe { top.sub(1) };
        // SAFETY: below where the top was, so initialised.
        Some(unsafe { top.read() })
    }

    /// As `pop`, when `top` is as low as it was since `rest`: once a place between two of those.
    #[cold]
    #[inline(never)]
    fn pop_rested(&self) -> Option<NonNull<T>> {
        let top = self.top.get();
        if top == self.base.get() {
            return None;
        }
        // SAFETY: above the base, so there is one below, within the run.
        let top = unsafe { top.sub(1) };
        self.top.set(top);
        self.low.set(top);
        // SAFETY: below where the top was, so initialised.
        Some(unsafe { top.read() })
    }

    /// Puts a place on top; `false` if there may be no more.
    #[inline(always)]
    pub(crate) fn push(&self, place: NonNull<T>) -> bool {
        let top = self.top.get();
        if top == self.end.get() {
            return false;
        }
        // SAFETY: below the end, so within the run, and aligned.
        unsafe { top.write(place) };
        // SAFETY: at most the end.
        unsafe { self.top.advance(1) };
        true
    }

    /// The most places there may be. Those beyond stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
        let end = limit.min(self.capacity.get()).max(self.len());
        // SAFETY: at most the capacity.
        self.end.set(unsafe { self.base.get().add(end) });
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.get()
    }

    /// The place on top, if there are more than may be; there may be no other in its stead.
    pub(crate) fn pop_excess(&self) -> Option<NonNull<T>> {
        if self.len() <= self.limit() {
            // Others may have taken some meanwhile: from now on there may be no more than the limit.
            self.set_limit(self.limit());
            return None;
        }
        let place = self.pop();
        self.set_limit(self.limit());
        place
    }

    /// Makes room for `count` places: for all objects there are, whatever the limit, since that may be
    /// raised when all are out.
    ///
    /// # Safety
    /// The source is the same at every call, of this and of `release`.
    pub(crate) unsafe fn reserve(
        &self,
        source: &impl PageSource,
        count: usize,
    ) -> Result<(), PageError> {
        if count <= self.capacity.get() {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self.grow(source, count) }
    }

    /// # Safety
    /// As `reserve`.
    #[cold]
    unsafe fn grow(&self, source: &impl PageSource, count: usize) -> Result<(), PageError> {
        let count = count.max(self.capacity.get().saturating_mul(2));
        // SAFETY: the caller's promise; more than the capacity, so than there are.
        unsafe { self.relocate(source, count) }
    }

    /// Gives memory back that `count` places do not need, if it is half of what there is; the bytes. If
    /// the smaller run is refused the old one stays.
    ///
    /// # Safety
    /// As `reserve`, and there are at most `count` places.
    pub(crate) unsafe fn fit(&self, source: &impl PageSource, count: usize) -> usize {
        let before = self.bytes();
        if count == 0 {
            // SAFETY: the caller's promise; there is no place to forget.
            unsafe { self.release(source) };
        } else if count <= self.capacity.get() / 2 && before > source.granule() {
            // SAFETY: the caller's promise.
            let _ = unsafe { self.relocate(source, count) };
        }
        before.saturating_sub(self.bytes())
    }

    /// Bytes of the run.
    fn bytes(&self) -> usize {
        self.capacity.get() * size_of::<NonNull<T>>()
    }

    /// Moves to another run, with room for `count` places or more.
    ///
    /// # Safety
    /// As `fit`.
    unsafe fn relocate(&self, source: &impl PageSource, count: usize) -> Result<(), PageError> {
        let bytes = count.saturating_mul(size_of::<NonNull<T>>());
        let run = source.acquire(Request::new(bytes).align(align_of::<NonNull<T>>()))?;
        let (base, capacity) =
            (run.ptr().cast::<NonNull<T>>(), run.len() / size_of::<NonNull<T>>());
        let (len, rested) = (self.len(), self.rested());
        // SAFETY: `len` initialised places, and room for more in a run that is nobody else's.
        unsafe { base.copy_from_nonoverlapping(self.base.get(), len) };
        let old = self.run.replace(Some(run));
        self.base.set(base);
        // SAFETY: at most `len`.
        self.low.set(unsafe { base.add(rested) });
        // SAFETY: at most the capacity.
        self.top.set(unsafe { base.add(len) });
        self.capacity.set(capacity);
        self.set_limit(self.limit.get());
        if let Some(old) = old {
            // SAFETY: acquired from this source, as the caller promises; its places have moved.
            unsafe { source.release(old) };
        }
        Ok(())
    }

    /// Brings the places that have rested to the top, and counts anew; how many.
    pub(crate) fn surface_rested(&self) -> usize {
        let (len, rested) = (self.len(), self.rested());
        let places = NonNull::slice_from_raw_parts(self.base.get(), len);
        // SAFETY: `len` initialised places; nobody else looks at them before this returns.
        unsafe { &mut *places.as_ptr() }.rotate_left(rested);
        self.rest();
        rested
    }

    /// Gives the run back, and forgets all places.
    ///
    /// # Safety
    /// As `reserve`.
    pub(crate) unsafe fn release(&self, source: &impl PageSource) {
        for end in [&self.base, &self.low, &self.end] {
            end.set(NonNull::dangling());
        }
        self.top.set(NonNull::dangling());
        self.capacity.set(0);
        if let Some(run) = self.run.take() {
            // SAFETY: acquired from this source, as the caller promises; nothing points there now.
            unsafe { source.release(run) };
        }
    }
}

/// Many at once, for depots.
#[cfg(feature = "std")]
impl<T> Stack<T> {
    /// Moves up to `count` places from the top to `to`, in the same order; how many.
    ///
    /// # Safety
    /// There is room for so many at `to`, elsewhere.
    pub(crate) unsafe fn pop_into(&self, to: NonNull<NonNull<T>>, count: usize) -> usize {
        let count = count.min(self.len());
        // SAFETY: at most as many as there are, so at least the base.
        let top = unsafe { self.top.get().sub(count) };
        // SAFETY: so many initialised places from there on, and room for them elsewhere.
        unsafe { top.copy_to_nonoverlapping(to, count) };
        self.top.set(top);
        self.low.set(self.low.get().min(top));
        count
    }

    /// Puts up to `count` places on top, as many as there may be; how many.
    ///
    /// # Safety
    /// So many initialised places are at `from`, elsewhere.
    pub(crate) unsafe fn push_from(&self, from: NonNull<NonNull<T>>, count: usize) -> usize {
        let room = self.end.get().addr().get() - self.top.get().addr().get();
        let count = count.min(room / size_of::<NonNull<T>>());
        let top = self.top.get();
        // SAFETY: so many places, and room for them below the end, which is within the run.
        unsafe { top.copy_from_nonoverlapping(from, count) };
        // SAFETY: at most the end.
        self.top.set(unsafe { top.add(count) });
        count
    }
}
