//! Pages of one file mapped so that each ring of them shows twice.
//!
//! A slab is one memfd and one stretch of reserved addresses of twice its length:
//!
//! ```text
//! file       | 0   | 1   | 2   |
//! addresses  | 0 0 | 1 1 | 2 2 |      ring i at 2·i·N shows bytes i·N.. of the file twice
//! calls      |-|---|-----| ...        the second view of ring i and the first of ring i + 1
//!                                     are one stretch of the file: one call, one mapping
//! ```

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
pub(crate) use elsewhere::Slab;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
pub(crate) use linux::Slab;

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
mod elsewhere {
    use crate::error::PageError;
    use core::convert::Infallible;
    use core::ptr::NonNull;

    /// There is none.
    #[derive(Debug)]
    pub(crate) struct Slab(Infallible);

    impl Slab {
        pub(crate) fn new(_ring: usize, _rings: usize, _inherit: bool) -> Result<Self, PageError> {
            Err(PageError::Unsupported { what: "a mirrored mapping" })
        }

        pub(crate) fn grow(&mut self) -> Result<Option<NonNull<u8>>, PageError> {
            match self.0 {}
        }

        pub(crate) fn mapped(&self) -> usize {
            match self.0 {}
        }

        pub(crate) fn index_of(&self, _ptr: NonNull<u8>) -> Option<usize> {
            match self.0 {}
        }

        pub(crate) unsafe fn remove(_ptr: NonNull<u8>, _len: usize) -> bool {
            false
        }
    }
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod linux {
    use crate::error::PageError;
    use crate::sys::failed;
    use core::ffi::c_void;
    use core::ptr::{NonNull, null_mut};
    use rustix::fd::OwnedFd;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use rustix::io::Errno;
    use rustix::mm::{self, Advice, MapFlags, ProtFlags};

    /// One file and the addresses that show it. Dropping it unmaps both.
    #[derive(Debug)]
    pub(crate) struct Slab {
        /// `2 * ring * rings` bytes that were reserved at once, aligned to `2 * ring`. Ours from
        /// here up to `limit`; beyond it, after a failure, they may be anybody's.
        base: NonNull<u8>,
        /// Bytes from `base` that are ours, mapped or reserved.
        limit: usize,
        /// Length of a ring: a power of two, and a multiple of the page size.
        ring: usize,
        /// Rings that the file has room for.
        rings: usize,
        /// Rings that are handed out: both views are mapped. The first view of the next one is
        /// mapped too, if there is a next.
        mapped: usize,
        inherit: bool,
        /// The process that mapped it.
        process: u32,
        /// `None` once every ring is mapped, or none more can be.
        file: Option<OwnedFd>,
    }

    // SAFETY: the pointer is to mappings that this value owns; they belong to the process, and are
    // changed through `&mut` alone.
    unsafe impl Send for Slab {}

    const CALL: &str = "mmap(MAP_FIXED)";

    impl Slab {
        /// Addresses and a file for `rings` rings of `ring` bytes, a power of two; no ring is
        /// mapped yet. `inherit`: a forked child has the mappings too.
        pub(crate) fn new(ring: usize, rings: usize, inherit: bool) -> Result<Self, PageError> {
            let stride = ring.checked_mul(2).filter(|&stride| stride <= isize::MAX as usize);
            let len = stride.and_then(|stride| stride.checked_mul(rings));
            let limit = isize::MAX as usize / 2;
            let too_large = PageError::TooLarge { asked: ring, align: ring, limit };
            let (Some(stride), Some(len)) = (stride, len) else { return Err(too_large) };
            let bytes = len / 2;
            let file = memfd_create("pool-core-mirror", MemfdFlags::CLOEXEC)
                .map_err(|errno| failed("memfd_create", errno, bytes))?;
            ftruncate(&file, bytes as u64).map_err(|errno| failed("ftruncate", errno, bytes))?;
            let base = reserve(len, stride)?;
            let file = Some(file);
            let process = std::process::id();
            let mut slab =
                Self { base, limit: len, ring, rings, mapped: 0, inherit, process, file };
            slab.map(0, 0, ring)?;
            Ok(slab)
        }

        /// Maps the next ring and returns its first byte; `None` if the slab is full.
        pub(crate) fn grow(&mut self) -> Result<Option<NonNull<u8>>, PageError> {
            if self.file.is_none() {
                return Ok(None);
            }
            let (index, ring) = (self.mapped, self.ring);
            let last = index + 1 == self.rings;
            let at = 2 * ring * index;
            // The second view of this ring, and the first one of the next.
            self.map(at + ring, index * ring, if last { ring } else { 2 * ring })?;
            self.mapped += 1;
            if last {
                self.file = None;
            }
            // SAFETY: ring `index` lies inside the reservation.
            Ok(Some(unsafe { self.base.add(at) }))
        }

        /// Shows `len` bytes of the file from `offset` on at `at` bytes from the base.
        fn map(&mut self, at: usize, offset: usize, len: usize) -> Result<(), PageError> {
            let Some(file) = &self.file else { return Ok(()) };
            // SAFETY: `at + len` is at most the length of the reservation.
            let start = unsafe { self.base.add(at) }.as_ptr().cast::<c_void>();
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            // SAFETY: what is mapped over is this slab's own reservation, which nothing uses yet:
            // it is below `limit`, for a slab that failed has no file.
            let mapped = unsafe { mm::mmap(start, len, protection, flags, file, offset as u64) };
            let result = mapped.map_err(|errno| failed(CALL, errno, len)).and_then(|_| {
                if self.inherit {
                    return Ok(());
                }
                // SAFETY: the advice changes what a child inherits, and no contents.
                unsafe { mm::madvise(start, len, Advice::LinuxDontFork) }
                    .map_err(|errno| failed("madvise(MADV_DONTFORK)", errno, len))
            });
            if result.is_err() {
                self.give_up_from(at, len);
            }
            Ok(result?)
        }

        /// After a failure at `at`: the kernel may have unmapped the `len` bytes there before it
        /// gave up, and another thread may have got these addresses since. They are neither
        /// mapped over again nor unmapped: at worst a hole of addresses is leaked, no memory. The
        /// slab does not grow any more.
        #[cold]
        fn give_up_from(&mut self, at: usize, len: usize) {
            self.file = None;
            let behind = at + len;
            // SAFETY: `behind` is at most the length of the reservation.
            let start = unsafe { self.base.add(behind) };
            // SAFETY: the rest of the reservation is ours and unused.
            unsafe { unmap(start, self.limit - behind) };
            self.limit = at;
        }

        /// Rings that have been handed out by `grow`.
        pub(crate) fn mapped(&self) -> usize {
            self.mapped
        }

        /// The number of the ring at `ptr`, if it is one of this slab.
        pub(crate) fn index_of(&self, ptr: NonNull<u8>) -> Option<usize> {
            let offset = ptr.addr().get().checked_sub(self.base.addr().get())?;
            let index = offset / (2 * self.ring);
            (index < self.mapped).then_some(index)
        }

        /// Frees the memory behind the ring at `ptr`: it reads as zeros afterwards, in both views.
        /// `false`: nothing happened.
        ///
        /// # Safety
        /// The `len` bytes at `ptr` are the first view of a ring that nobody uses.
        pub(crate) unsafe fn remove(ptr: NonNull<u8>, len: usize) -> bool {
            // SAFETY: the pages are a shared mapping of a memfd, and the caller gives up what they
            // contain. MADV_DONTNEED would only unmap them here and keep the file's memory.
            unsafe { mm::madvise(ptr.as_ptr().cast(), len, Advice::LinuxRemove) }.is_ok()
        }
    }

    impl Drop for Slab {
        fn drop(&mut self) {
            // A forked child has not inherited the mappings; what is there now is somebody else's.
            if self.inherit || self.process == std::process::id() {
                // SAFETY: these addresses are the slab's own, and its rings are used no more.
                unsafe { unmap(self.base, self.limit) };
            }
        }
    }

    /// Reserves `len` bytes of addresses aligned to `align`, without memory behind them.
    fn reserve(len: usize, align: usize) -> Result<NonNull<u8>, PageError> {
        let spare = align - crate::sys::page_size().min(align);
        let Some(all) = len.checked_add(spare).filter(|&all| all <= isize::MAX as usize) else {
            return Err(PageError::TooLarge { asked: len, align, limit: isize::MAX as usize });
        };
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, wherever the kernel likes.
        let start = unsafe { mm::mmap_anonymous(null_mut(), all, ProtFlags::empty(), flags) }
            .map_err(|errno| failed("mmap", errno, all))?;
        let Some(start) = NonNull::new(start.cast::<u8>()) else {
            return Err(failed("mmap", Errno::NOMEM, all).into());
        };
        let head = start.addr().get().wrapping_neg() & (align - 1);
        // SAFETY: `head` is at most `spare`, so inside the mapping.
        let base = unsafe { start.add(head) };
        // SAFETY: `head + len` is at most `all`, so inside the mapping or at its end.
        let tail = unsafe { base.add(len) };
        // SAFETY: the head of what was mapped just now; nobody else knows it.
        unsafe { unmap(start, head) };
        // SAFETY: its tail, likewise.
        unsafe { unmap(tail, spare - head) };
        Ok(base)
    }

    /// # Safety
    /// The `len` bytes at `start` are mapped by the caller, who uses them no more.
    unsafe fn unmap(start: NonNull<u8>, len: usize) {
        if len > 0 {
            // SAFETY: the caller's promise. If it fails, for lack of kernel memory, the addresses
            // are leaked.
            let _ = unsafe { mm::munmap(start.as_ptr().cast(), len) };
        }
    }
}
