//! Who is there: heaps and threads, and which cache is whose. A storage file.
//!
//! Each thread has a cache in each of a few *slots*, in a thread-local without a destructor, so
//! that an address and an offset are all that the fast path needs. A heap has a slot as long as it
//! lives, if one is free; else it goes without caches.
//!
//! **Whose is a cache?** Its thread's, while its heap lives. A cache is opened by its thread, closed
//! by its thread at the thread's end, or forgotten by whoever drops the heap. The last two are done
//! under the registry's lock. Whoever drops a heap has it alone (`&mut`), so that the thread's last
//! use of the cache happened before; and the thread's next use, for another heap, happens after the
//! slot was given to that heap, under the same lock, and published with `Release`.

use super::cache::Cache;
use super::central::Central;
use super::ledger::{Desk, Ledger};
use crate::size_class::SizeClass;
use crate::sync::Lock;
use core::alloc::Layout;
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use pool_core::hooks::{ThreadEnd, at_fork};

/// Caches that each thread has. Miri looks at all of them whenever one is used.
const CACHES: usize = if cfg!(miri) { 6 } else { 16 };

/// A cache's place among those of a thread, by its offset: that of one of the `CACHES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Slot(usize);

impl Slot {
    /// Of the process-wide heap.
    pub(crate) const PROCESS: Self = Self::number(0);
    /// Of heaps without a slot: the caches in it are always closed.
    pub(crate) const NONE: Self = Self::number(CACHES - 1);

    const fn number(index: usize) -> Self {
        assert!(index < CACHES);
        Self(offset_of!(Thread, caches) + index * size_of::<Cache>())
    }

    const fn index(self) -> usize {
        (self.0 - offset_of!(Thread, caches)) / size_of::<Cache>()
    }

    /// The offset, for an atomic.
    pub(crate) const fn offset(self) -> usize {
        self.0
    }

    /// # Safety
    /// The offset is one that [`offset`](Self::offset) gave.
    #[inline(always)]
    pub(crate) const unsafe fn from_offset(offset: usize) -> Self {
        Self(offset)
    }
}

/// What a thread has.
#[repr(C)]
struct Thread {
    caches: [Cache; CACHES],
    state: Cell<State>,
    /// Neighbours among the threads that are open; under the registry's lock.
    next: Cell<*const Thread>,
    prev: Cell<*const Thread>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Not registered yet.
    New,
    /// Its caches may be opened.
    Open,
    /// At its end, or it cannot be told when that is: its caches stay closed.
    Closed,
}

std::thread_local! {
    /// No destructor: it can be used at any moment of the thread's life.
    static THREAD: Thread = const {
        Thread {
            caches: [const { Cache::new() }; CACHES],
            state: Cell::new(State::New),
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
        }
    };
}

/// Calls `f` with this thread's cache in a slot.
#[inline(always)]
pub(crate) fn with_cache<R>(slot: Slot, f: impl FnOnce(&Cache) -> R) -> R {
    THREAD.with(|thread| {
        // SAFETY: by the invariant of `Slot` this stays within the thread's caches.
        let cache = unsafe { in_register(ptr::from_ref(thread)).byte_add(slot.0) };
        // SAFETY: at that offset stands a cache, which lives as long as the thread, and is changed
        // through its cells, by this thread alone while it is here.
        f(unsafe { &*cache.cast::<Cache>() })
    })
}

/// The pointer, in a register. With a constant slot the compiler would address each word relative to the
/// segment of thread-locals, and processors forward what was just stored there more slowly.
#[inline(always)]
fn in_register(thread: *const Thread) -> *const Thread {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let mut thread = thread;
        // SAFETY: no instruction.
        #[allow(clippy::pointers_in_nomem_asm_block, reason = "nothing is read through it there")]
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) thread, options(pure, nomem, nostack, preserves_flags));
        }
        thread
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    thread
}

/// All heaps and threads.
struct Registry {
    /// The first of the open threads.
    threads: *const Thread,
    /// The first of the heaps.
    heaps: *const Entry,
    /// The heaps that have a slot.
    slots: [*const Entry; CACHES],
}

// SAFETY: what it points to is only reached under its lock; see the module's documentation.
unsafe impl Send for Registry {}

static REGISTRY: Lock<Registry> =
    Lock::new(Registry { threads: ptr::null(), heaps: ptr::null(), slots: [ptr::null(); CACHES] });

/// A heap's place among the heaps. It must not move while it is registered.
pub(crate) struct Entry {
    pub(crate) central: Central,
    /// The offset of its slot, once it has one. The `Acquire` of opening a cache in it reads what the
    /// `Release` of adding the heap has published.
    slot: AtomicUsize,
    /// Neighbours among the heaps; under the registry's lock.
    next: Cell<*const Entry>,
    prev: Cell<*const Entry>,
}

// SAFETY: the cells are only used under the registry's lock; the rest is `Sync`.
unsafe impl Sync for Entry {}

impl Entry {
    pub(crate) fn new(central: Central) -> Self {
        Self {
            central,
            slot: AtomicUsize::new(Slot::NONE.offset()),
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
        }
    }
}

/// Makes a heap known, and gives it a slot: the process-wide one if it is that heap, else one that
/// is free, or none.
///
/// # Safety
/// The entry stays where it is until [`remove`]. There is one process-wide heap.
pub(crate) unsafe fn add(entry: &Entry, process: bool) -> Slot {
    heed_forks();
    REGISTRY.with(|registry| {
        let free = || (1..CACHES - 1).find(|slot| registry.slots[*slot].is_null());
        let slot = if process { Slot::PROCESS } else { free().map_or(Slot::NONE, Slot::number) };
        if slot != Slot::NONE {
            registry.slots[slot.index()] = entry;
        }
        entry.slot.store(slot.offset(), Release);
        entry.next.set(registry.heaps);
        if let Some(next) = deref(registry.heaps) {
            next.prev.set(entry);
        }
        registry.heaps = entry;
        slot
    })
}

/// Forgets a heap, and what is cached of it anywhere.
///
/// # Safety
/// The entry was added. Nobody uses the heap any more, nor anything of it.
pub(crate) unsafe fn remove(entry: &Entry) {
    REGISTRY.with(|registry| {
        let slot = Slot(entry.slot.load(Relaxed)).index();
        let (next, prev) = (entry.next.get(), entry.prev.get());
        if slot != Slot::NONE.index() {
            registry.slots[slot] = ptr::null();
            let mut thread = deref(registry.threads);
            while let Some(open) = thread {
                open.caches[slot].forget();
                thread = deref(open.next.get());
            }
        }
        match deref(prev) {
            Some(prev) => prev.next.set(next),
            None => registry.heaps = next,
        }
        if let Some(next) = deref(next) {
            next.prev.set(prev);
        }
    });
}

/// Calls `f` for each heap and the slot that it is in; returns how many threads are open. Meanwhile no
/// heap is added or removed, and no thread registers or ends. `f` allocates nothing.
pub(crate) fn survey(mut f: impl FnMut(&Central, Slot)) -> usize {
    REGISTRY.with(|registry| {
        let mut heap = deref(registry.heaps);
        while let Some(entry) = heap {
            f(&entry.central, Slot(entry.slot.load(Relaxed)));
            heap = deref(entry.next.get());
        }
        core::iter::successors(deref(registry.threads), |thread| deref(thread.next.get())).count()
    })
}

/// What a link of the registry leads to.
fn deref<'a, T>(link: *const T) -> Option<&'a T> {
    // SAFETY: links are null, or lead to a thread that has not ended or a heap that was not removed:
    // either takes itself out of the list before. Both are used under the lock only.
    unsafe { link.as_ref() }
}

/// Opens this thread's cache of a heap in the heap's slot, with a block of the heap for the ledger.
/// The block comes back if that cannot be.
///
/// # Safety
/// The block is one of the heap's own, of the class [`LEDGER`], and nobody's. The cache is closed.
#[cold]
pub(crate) unsafe fn open(
    entry: &Entry,
    slot: Slot,
    block: NonNull<u8>,
) -> Result<(), NonNull<u8>> {
    let known = slot != Slot::NONE && entry.slot.load(Acquire) == slot.offset();
    if !known || !THREAD.with(Thread::is_open) {
        return Err(block);
    }
    let ledger: NonNull<Ledger> = block.cast();
    // SAFETY: the block is ours, long enough for a ledger and aligned.
    unsafe { ledger.write(Ledger::new(entry.central.epoch())) };
    // SAFETY: written above; the block belongs to the cache until it is closed or the heap is gone.
    with_cache(slot, |cache| unsafe { cache.open(ledger) });
    Ok(())
}

/// Whether it is worth to try and open this thread's cache in a slot.
pub(crate) fn may_open(slot: Slot) -> bool {
    // Where there is no `pthread`, the end of a thread is a thread-local's destructor, and beneath a
    // `#[global_allocator]` there can be none.
    let told = slot != Slot::PROCESS || cfg!(unix);
    told && slot != Slot::NONE && THREAD.with(|thread| thread.state.get() != State::Closed)
}

/// The class of a ledger's block.
pub(crate) const LEDGER: SizeClass = match SizeClass::of(Layout::new::<Ledger>()) {
    Some(class) => class,
    None => unreachable!(),
};

static AT_END: ThreadEnd = ThreadEnd::new(|| THREAD.with(Thread::close));

impl Thread {
    /// Whether it is open, or could be opened just now.
    fn is_open(&self) -> bool {
        if self.state.get() == State::New {
            // Whatever is allocated inside the next call goes without a cache.
            self.state.set(State::Closed);
            if AT_END.ask() {
                self.register();
                self.state.set(State::Open);
            }
        }
        self.state.get() == State::Open
    }

    fn register(&self) {
        REGISTRY.with(|registry| {
            self.next.set(registry.threads);
            self.prev.set(ptr::null());
            if let Some(next) = deref(registry.threads) {
                next.prev.set(self);
            }
            registry.threads = self;
        });
    }

    /// The last thing that a thread does with its caches.
    fn close(&self) {
        if self.state.replace(State::Closed) != State::Open {
            return;
        }
        REGISTRY.with(|registry| {
            for (cache, heap) in self.caches.iter().zip(registry.slots) {
                if let Some(entry) = deref(heap) {
                    close(cache, &entry.central);
                }
            }
            let (next, prev) = (self.next.get(), self.prev.get());
            match deref(prev) {
                Some(prev) => prev.next.set(next),
                None => registry.threads = next,
            }
            if let Some(next) = deref(next) {
                next.prev.set(prev);
            }
        });
    }
}

/// Gives back what a cache of this heap has, and closes it.
fn close(cache: &Cache, central: &Central) {
    let Some(desk) = Desk::of(cache, central) else { return };
    desk.close_all();
    if let Some(block) = cache.close() {
        // SAFETY: the ledger's block, one of the heap's own, which is not used any more.
        unsafe { central.give_own(LEDGER, block) };
    }
}

/// Makes forks find nothing half done: the forking thread takes every lock before.
fn heed_forks() {
    static HEEDED: AtomicBool = AtomicBool::new(false);
    if !HEEDED.swap(true, Relaxed) {
        // Where it is refused, as where nothing forks, a child is on its own.
        let _ = at_fork(fork::lock, fork::unlock, fork::unlock_in_child);
    }
}

mod fork {
    use super::{Desk, Entry, REGISTRY, Relaxed, Slot, State, THREAD, deref, with_cache};
    use core::ptr;

    /// The registry first: nobody who waits for it has another lock.
    pub(super) extern "C" fn lock() {
        REGISTRY.enter();
        for_each_heap(|entry| entry.central.enter_all());
    }

    pub(super) extern "C" fn unlock() {
        for_each_heap(|entry| entry.central.leave_all());
        REGISTRY.leave();
    }

    /// The child has this thread alone. What the caches of the others hold is lost to it.
    pub(super) extern "C" fn unlock_in_child() {
        for_each_heap(|entry| entry.central.leave_all());
        THREAD.with(|thread| {
            let open = thread.state.get() == State::Open;
            thread.next.set(ptr::null());
            thread.prev.set(ptr::null());
            let first = if open { ptr::from_ref(thread) } else { ptr::null() };
            // SAFETY: `lock` went in, on this thread or the one that it is a copy of.
            unsafe { (*REGISTRY.value()).threads = first };
        });
        for_each_heap(|entry| {
            let slot = Slot(entry.slot.load(Relaxed));
            with_cache(slot, |cache| match Desk::of(cache, &entry.central) {
                Some(desk) => desk.forget_others(),
                None => entry.central.forget_others(|_| 0, 0),
            });
        });
        REGISTRY.leave();
    }

    /// Calls `f` for each heap, while this thread is in the registry.
    fn for_each_heap(f: impl Fn(&Entry)) {
        // SAFETY: the handlers are inside the lock.
        let mut link = unsafe { (*REGISTRY.value()).heaps };
        while let Some(entry) = deref(link) {
            f(entry);
            link = entry.next.get();
        }
    }
}
