//! The end of a thread, and `fork`.

/// Calls `hook` when this thread ends, after the destructors of its Rust thread-locals, so that
/// what those give back is flushed, too. Allocates nothing from Rust's allocator: `pthread` keeps
/// keys in place. `false` if the system has no key left: then nothing is called.
#[cfg(all(unix, not(miri)))]
pub(crate) fn at_thread_exit(hook: fn()) -> bool {
    use core::ffi::c_void;
    use core::sync::atomic::{
        AtomicPtr, AtomicUsize,
        Ordering::{AcqRel, Acquire, Release},
    };

    /// The hook as a pointer to it; every caller brings the same one.
    static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
    /// The key plus 1; 0 while there is none. Nobody waits for another thread here, since a forked
    /// child may not have it.
    static KEY: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn run(_: *mut c_void) {
        let hook = HOOK.load(Acquire);
        if !hook.is_null() {
            // SAFETY: only ever stored below, from a `fn()`.
            let hook = unsafe { core::mem::transmute::<*mut (), fn()>(hook) };
            hook();
        }
    }
    HOOK.store(hook as *mut (), Release);
    if KEY.load(Acquire) == 0 {
        let mut key = 0;
        // SAFETY: `key` is a place for a key, and `run` has the signature that is asked for; it
        // does not unwind, as no hook does.
        if unsafe { libc::pthread_key_create(&mut key, Some(run)) } != 0 {
            return false;
        }
        if KEY.compare_exchange(0, key as usize + 1, AcqRel, Acquire).is_err() {
            // SAFETY: created above, and set by no thread.
            unsafe { libc::pthread_key_delete(key) };
        }
    }
    let key = (KEY.load(Acquire) - 1) as libc::pthread_key_t;
    // SAFETY: the key was created above and is never deleted. Any value but null makes `run` be
    // called at the end of the thread.
    let error = unsafe { libc::pthread_setspecific(key, core::ptr::dangling::<u8>().cast()) };
    error == 0
}

/// As above, by a thread-local with a destructor: where there is no `pthread`.
#[cfg(not(all(unix, not(miri))))]
pub(crate) fn at_thread_exit(hook: fn()) -> bool {
    struct AtExit(fn());
    impl Drop for AtExit {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    std::thread_local! {
        static AT_EXIT: core::cell::Cell<Option<AtExit>> = const { core::cell::Cell::new(None) };
    }
    AT_EXIT.try_with(|at_exit| at_exit.set(Some(AtExit(hook)))).is_ok()
}

/// Calls `prepare` before every `fork` of this process, then `after` in parent and child. Nothing
/// undoes this.
#[cfg(all(unix, not(miri)))]
pub(crate) fn at_fork(prepare: extern "C" fn(), after: extern "C" fn()) -> bool {
    // SAFETY: the handlers have the signature that is asked for, are functions of this program and
    // do not unwind.
    unsafe { libc::pthread_atfork(Some(prepare), Some(after), Some(after)) == 0 }
}
