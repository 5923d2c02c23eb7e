//! The end of a thread, and `fork`.

/// Something to be done at the end of each thread that asks for it, after the destructors of the
/// thread's Rust thread-locals, so that what those give back is seen, too. For caches of
/// threads that stand beneath a `#[global_allocator]`: a thread-local with a destructor may not be
/// used there.
///
/// The main thread has no such end: when `main` returns the process ends, and the hook is not called
/// for it.
///
/// Nothing is allocated from Rust's allocator: `pthread` keeps keys in place. Where there is no
/// `pthread`, a thread-local with a destructor does it, and a thread may ask for
/// [`MOST`](Self::MOST) of them.
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use pool_core::hooks::ThreadEnd;
/// static ENDED: AtomicU32 = AtomicU32::new(0);
/// static COUNT: ThreadEnd = ThreadEnd::new(|| {
///     ENDED.fetch_add(1, Relaxed);
/// });
/// std::thread::spawn(|| assert!(COUNT.ask())).join().unwrap();
/// assert_eq!(ENDED.load(Relaxed), 1);
/// ```
#[derive(Debug)]
pub struct ThreadEnd {
    hook: fn(),
    /// The key plus 1; 0 while there is none. Nobody waits for another thread here, since a forked
    /// child may not have it.
    #[cfg_attr(not(all(unix, not(miri))), allow(dead_code, reason = "of `pthread`"))]
    key: core::sync::atomic::AtomicUsize,
}

impl ThreadEnd {
    /// The most hooks that each thread is certain to have.
    pub const MOST: usize = 4;

    /// `hook`, to be called at the end of threads that ask for it. It must not panic (a panic
    /// aborts), and comes in no order with hooks of others.
    #[must_use]
    pub const fn new(hook: fn()) -> Self {
        Self { hook, key: core::sync::atomic::AtomicUsize::new(0) }
    }
}

#[cfg(all(unix, not(miri)))]
impl ThreadEnd {
    /// Has the hook called when this thread ends, once however often this was asked. `false` if the
    /// system has no key left: then nothing is called. A thread that asks again in a hook may or
    /// may not be heard.
    #[must_use = "nothing is called if the system refused"]
    pub fn ask(&'static self) -> bool {
        use core::sync::atomic::Ordering::{AcqRel, Acquire};
        if self.key.load(Acquire) == 0 {
            let mut key = 0;
            // SAFETY: `key` is a place for a key, and `run` has the signature that is asked for; it
            // does not unwind, as `extern "C"` functions abort instead.
            if unsafe { libc::pthread_key_create(&mut key, Some(Self::run)) } != 0 {
                return false;
            }
            if self.key.compare_exchange(0, key as usize + 1, AcqRel, Acquire).is_err() {
                // SAFETY: created above, and set by no thread.
                unsafe { libc::pthread_key_delete(key) };
            }
        }
        let key = (self.key.load(Acquire) - 1) as libc::pthread_key_t;
        // SAFETY: the key was created above and is never deleted. Any value but null makes `run` be
        // called with it at the end of the thread.
        unsafe { libc::pthread_setspecific(key, core::ptr::from_ref(self).cast()) == 0 }
    }

    extern "C" fn run(this: *mut core::ffi::c_void) {
        // SAFETY: the value of a key of ours is a `&'static Self`, see above.
        let this = unsafe { &*this.cast_const().cast::<Self>() };
        (this.hook)();
    }
}

#[cfg(not(all(unix, not(miri))))]
impl ThreadEnd {
    /// Has the hook called when this thread ends, once however often this was asked. `false` if the
    /// thread asked for too many, or is ending: then nothing is called.
    #[must_use = "nothing is called if the system refused"]
    pub fn ask(&'static self) -> bool {
        use core::cell::Cell;
        struct AtEnd([Cell<Option<&'static ThreadEnd>>; ThreadEnd::MOST]);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                for hook in self.0.iter().filter_map(Cell::get) {
                    (hook.hook)();
                }
            }
        }
        std::thread_local! {
            static AT_END: AtEnd = const { AtEnd([const { Cell::new(None) }; ThreadEnd::MOST]) };
        }
        let note = |at_end: &AtEnd| {
            let mut places = at_end.0.iter();
            let mine = |hook: Option<&Self>| hook.is_none_or(|hook| core::ptr::eq(hook, self));
            let place = places.find(|place| mine(place.get()));
            place.inspect(|place| place.set(Some(self))).is_some()
        };
        AT_END.try_with(note).unwrap_or(false)
    }
}

/// Calls `prepare` before every `fork` of this process, then `parent` in the parent and `child` in
/// the child, on the thread that forks. `prepare` is called before those of earlier callers, the
/// other two after them. Nothing undoes this. `false` if the system refused, or knows no `fork`.
///
/// The child has the forking thread alone. A lock that another thread held stays locked there; so
/// `prepare` takes such locks and the other two give them back.
///
/// ```
/// extern "C" fn nothing() {}
/// let asked = pool_core::hooks::at_fork(nothing, nothing, nothing);
/// assert_eq!(asked, cfg!(all(unix, not(miri))));
/// ```
#[cfg(all(unix, not(miri)))]
#[must_use = "nothing is called if the system refused"]
pub fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: the handlers have the signature that is asked for, are functions of this program and
    // do not unwind.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// Calls nothing: this system knows no `fork`. `false`.
#[cfg(not(all(unix, not(miri))))]
#[must_use = "nothing is called if the system refused"]
pub fn at_fork(_: extern "C" fn(), _: extern "C" fn(), _: extern "C" fn()) -> bool {
    false
}
