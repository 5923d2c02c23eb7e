//! Cleanups: registered destructors, in a list through nodes that lie in the arena. A storage file.
//!
//! nginx's `ngx_pool_cleanup_add`; but a reset runs them and empties the list, they run in the
//! reverse of their order, and a panic in one does not skip the others.

mod shared;

use core::cell::Cell;
use core::ptr::NonNull;
pub(crate) use shared::SharedCleanups;

/// The head of a node; behind it stands what `run` needs.
#[repr(C)]
pub(crate) struct Node {
    next: Cell<Option<NonNull<Node>>>,
    /// Runs or drops what stands behind the head, once.
    run: unsafe fn(NonNull<Node>),
}

/// A node with its payload. `repr(C)`: the head is at the start.
#[repr(C)]
pub(crate) struct With<T> {
    head: Node,
    payload: T,
}

impl<T> With<T> {
    /// Where the payload goes.
    pub(crate) fn payload_of(with: NonNull<Self>) -> NonNull<T> {
        // Wrapping, since no more is known than that it is not null.
        let payload = with.as_ptr().wrapping_byte_add(core::mem::offset_of!(Self, payload));
        NonNull::new(payload.cast()).unwrap_or(NonNull::dangling())
    }

    /// The node with this payload: the inverse of [`payload_of`](Self::payload_of).
    pub(crate) fn of_payload(payload: NonNull<T>) -> NonNull<Self> {
        let with = payload.as_ptr().wrapping_byte_sub(core::mem::offset_of!(Self, payload));
        NonNull::new(with.cast()).unwrap_or(NonNull::dangling())
    }
}

/// Moves the payload out and drops it: for one that owns the memory that it lies in.
///
/// # Safety
/// As [`drop_payload`].
unsafe fn take_payload<T>(node: NonNull<Node>) {
    let with = node.cast::<With<T>>();
    // SAFETY: the payload was initialised and is moved out once.
    drop(unsafe { With::payload_of(with).read() });
}

/// Drops the payload in its place.
///
/// # Safety
/// `node` is the head of a live `With<T>` whose payload is taken by nobody else, now or later.
unsafe fn drop_payload<T>(node: NonNull<Node>) {
    let with = node.cast::<With<T>>().as_ptr();
    // SAFETY: the node is live; no reference is made.
    let payload = unsafe { &raw mut (*with).payload };
    // SAFETY: the payload was initialised, nobody refers to it, and it is dropped once.
    unsafe { payload.drop_in_place() };
}

/// Takes the payload out and calls it.
///
/// # Safety
/// As [`drop_payload`].
unsafe fn call_payload<F: FnOnce()>(node: NonNull<Node>) {
    let with = node.cast::<With<F>>().as_ptr();
    // SAFETY: the node is live; no reference is made.
    let payload = unsafe { &raw const (*with).payload };
    // SAFETY: the payload was initialised and is moved out once.
    let payload = unsafe { payload.read() };
    payload();
}

/// Drops what somebody panicked with, which may itself panic.
#[cfg(feature = "std")]
fn discard(panic: std::boxed::Box<dyn core::any::Any + Send>) {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        core::mem::forget(again);
    }
}

/// A position in the list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(Option<NonNull<Node>>);

impl Mark {
    /// The very end.
    pub(crate) const OLDEST: Self = Self(None);
}

/// The cleanups of an arena, newest first. Every node in it is live, and its payload is
/// initialised and nobody else's to drop.
pub(crate) struct Cleanups {
    head: Cell<Option<NonNull<Node>>>,
}

impl Cleanups {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(None) }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.head.get())
    }

    /// Registers the drop of `value`, which moves to `place`.
    ///
    /// # Safety
    /// `place` is fit for a `With<T>`, writable and the caller's, and stays so until the node has
    /// run. Whoever uses the returned pointer stops before that. The value may be dropped then, on
    /// whatever thread that is.
    pub(crate) unsafe fn push_value<T>(&self, place: NonNull<u8>, value: T) -> NonNull<T> {
        // SAFETY: the caller's promise.
        unsafe { self.push(place.cast(), value, drop_payload::<T>) }
    }

    /// Registers a call of `f`, which moves to `place`.
    ///
    /// # Safety
    /// As [`push_value`](Self::push_value).
    pub(crate) unsafe fn push_call<F: FnOnce()>(&self, place: NonNull<u8>, f: F) {
        // SAFETY: the caller's promise.
        unsafe { self.push(place.cast(), f, call_payload::<F>) };
    }

    /// Registers the drop of a payload that is in its place already, and owns that place.
    ///
    /// # Safety
    /// The payload is initialised, and the caller gives it up. It stays where it is, alive, until
    /// the node has run, and may be dropped then, on whatever thread that is.
    pub(crate) unsafe fn link_owner<T>(&self, with: NonNull<With<T>>) {
        let node = with.cast::<Node>();
        let head = Node { next: Cell::new(self.head.get()), run: take_payload::<T> };
        // SAFETY: the place is fit for a `With<T>`, which begins with its head.
        unsafe { node.write(head) };
        self.head.set(Some(node));
    }

    /// # Safety
    /// As [`push_value`](Self::push_value), and `run` fits `T`.
    unsafe fn push<T>(
        &self,
        place: NonNull<With<T>>,
        payload: T,
        run: unsafe fn(NonNull<Node>),
    ) -> NonNull<T> {
        let head = Node { next: Cell::new(self.head.get()), run };
        // SAFETY: the place is fit for it.
        unsafe { place.write(With { head, payload }) };
        self.head.set(Some(place.cast()));
        // SAFETY: the place is live; no reference is made.
        let payload = unsafe { &raw mut (*place.as_ptr()).payload };
        // SAFETY: a field of something that is not at null is not at null.
        unsafe { NonNull::new_unchecked(payload) }
    }

    /// Takes the newest node out, unless it is the one at `mark`.
    fn pop(&self, mark: Mark) -> Option<NonNull<Node>> {
        let node = self.head.get()?;
        if mark.0 == Some(node) {
            return None;
        }
        // SAFETY: nodes in the list are live.
        let head = unsafe { node.as_ref() };
        self.head.set(head.next.get());
        Some(node)
    }

    /// Takes the newest node out, if it is newer than `mark`, and runs it. `false` if there is none.
    fn run_one(&self, mark: Mark) -> bool {
        let Some(node) = self.pop(mark) else { return false };
        // SAFETY: nodes are live until they have run.
        let run = unsafe { node.as_ref() }.run;
        // SAFETY: the node has left the list, so this is the one time that it runs, and `run` fits
        // its payload as it was pushed.
        unsafe { run(node) };
        true
    }

    /// Runs what is newer than `mark`, newest first. Each node leaves the list before it runs.
    ///
    /// If some panic, the others run all the same, and the first panic goes on afterwards, unless
    /// the thread is panicking already.
    #[cfg(feature = "std")]
    pub(crate) fn run(&self, mark: Mark) {
        use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
        let mut first = None;
        loop {
            // Unwind safe: the list is in order whenever foreign code runs.
            match catch_unwind(AssertUnwindSafe(|| self.run_one(mark))) {
                Ok(true) => {}
                Ok(false) => break,
                Err(panic) if first.is_some() => discard(panic),
                Err(panic) => first = Some(panic),
            }
        }
        match first {
            Some(panic) if std::thread::panicking() => discard(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }

    /// Runs what is newer than `mark`, newest first. Each node leaves the list before it runs.
    ///
    /// If one panics, the others run while it unwinds; if a second one panics, the process aborts.
    #[cfg(not(feature = "std"))]
    pub(crate) fn run(&self, mark: Mark) {
        struct GoOn<'a>(&'a Cleanups, Mark);
        impl Drop for GoOn<'_> {
            fn drop(&mut self) {
                while self.0.run_one(self.1) {}
            }
        }
        drop(GoOn(self, mark));
    }
}
