//! `Mapping`: memory from the system with an owner. memmap2 where it reaches; Rust's allocator
//! elsewhere (no `std`, Miri, loom, targets without mmap).

use crate::bytes::is_aligned;
use crate::error::OsError;
use core::ptr::NonNull;

/// Memory that the system gave in one piece and gets back in one piece when this is dropped. Reads
/// as zeros at first; untouched pages cost nothing.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// What is mapped: at least `start + len` bytes.
    memory: Memory,
    /// Where the aligned part begins within it.
    start: usize,
    len: usize,
}

/// What to map.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    /// Bytes, a multiple of the page.
    pub(crate) len: usize,
    /// Alignment, a power of two.
    pub(crate) align: usize,
    /// log2 of the huge page to map explicitly.
    pub(crate) huge: Option<u8>,
}

impl Mapping {
    /// Anonymous private memory of `len` bytes, aligned to `align` (a power of two). The system is
    /// asked for just that first: recent kernels align long mappings by themselves. If it comes
    /// out unaligned, a longer one is taken and its edges stay untouched.
    pub(crate) fn anonymous(spec: Spec) -> Result<Self, OsError> {
        let Spec { len, align, huge } = spec;
        let memory = Memory::anonymous(len, huge)?;
        if is_aligned(memory.ptr().addr().get(), align) {
            return Ok(Self { memory, start: 0, len });
        }
        drop(memory);
        let memory = Memory::anonymous(len + align, huge)?;
        Ok(Self::aligned_part(memory, len, align))
    }

    /// `len` bytes of `file` from `offset` on, shared with the file, aligned to `align`: the file
    /// must reach `align` bytes further than that.
    #[cfg(feature = "std")]
    pub(crate) fn file(
        file: &std::fs::File,
        offset: u64,
        len: usize,
        align: usize,
    ) -> Result<Self, OsError> {
        let memory = Memory::file(file, offset, len + align)?;
        Ok(Self::aligned_part(memory, len, align))
    }

    fn aligned_part(memory: Memory, len: usize, align: usize) -> Self {
        let start = memory.ptr().addr().get().wrapping_neg() & (align - 1);
        Self { memory, start, len }
    }

    /// The first byte; it carries provenance for `len` bytes.
    pub(crate) fn ptr(&self) -> NonNull<u8> {
        // SAFETY: `start` lies within the memory: it is below the alignment, by which the memory
        // is longer than `len` whenever `start` is not 0.
        unsafe { self.memory.ptr().add(self.start) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(all(feature = "std", any(unix, windows), not(miri), not(loom)))]
mod memory {
    use super::{NonNull, OsError};
    use crate::sys::os_error;
    use memmap2::{MmapOptions, MmapRaw};

    #[derive(Debug)]
    pub(super) struct Memory(MmapRaw);

    impl Memory {
        pub(super) fn anonymous(len: usize, huge: Option<u8>) -> Result<Self, OsError> {
            let mut options = MmapOptions::new();
            options.len(len);
            let call = if huge.is_some() {
                options.huge(huge);
                "mmap(MAP_HUGETLB)"
            } else {
                "mmap"
            };
            match options.map_anon() {
                Ok(map) => Ok(Self(map.into())),
                Err(error) => Err(os_error(call, &error, len)),
            }
        }

        pub(super) fn file(file: &std::fs::File, offset: u64, len: usize) -> Result<Self, OsError> {
            let map = MmapOptions::new().offset(offset).len(len).map_raw(file);
            map.map(Self).map_err(|error| os_error("mmap(MAP_SHARED)", &error, len))
        }

        pub(super) fn ptr(&self) -> NonNull<u8> {
            // SAFETY: memmap2 returns no null mapping: the system never gives the zero page.
            unsafe { NonNull::new_unchecked(self.0.as_mut_ptr()) }
        }
    }
}

#[cfg(not(all(feature = "std", any(unix, windows), not(miri), not(loom))))]
mod memory {
    use super::{NonNull, OsError};
    use crate::error::Cause;
    use crate::sys::page_size;
    use alloc::alloc::{Layout, alloc_zeroed, dealloc};

    #[derive(Debug)]
    pub(super) struct Memory {
        /// Allocated with `layout`.
        ptr: NonNull<u8>,
        layout: Layout,
    }

    // SAFETY: it owns its memory alone and lends only raw pointers.
    unsafe impl Send for Memory {}
    // SAFETY: as above; `&Memory` reads plain fields.
    unsafe impl Sync for Memory {}

    impl Memory {
        pub(super) fn anonymous(len: usize, huge: Option<u8>) -> Result<Self, OsError> {
            let error = OsError { call: "alloc", code: 12, asked: len, cause: Cause::Unknown };
            let layout = Layout::from_size_align(len.max(1), page_size()).map_err(|_| error)?;
            if huge.is_some() {
                return Err(OsError { call: "mmap(MAP_HUGETLB)", ..error });
            }
            // SAFETY: the layout's size is not 0.
            let ptr = unsafe { alloc_zeroed(layout) };
            NonNull::new(ptr).map(|ptr| Self { ptr, layout }).ok_or(error)
        }

        #[cfg(feature = "std")]
        pub(super) fn file(_: &std::fs::File, _: u64, len: usize) -> Result<Self, OsError> {
            Err(OsError { call: "mmap(MAP_SHARED)", code: 38, asked: len, cause: Cause::Unknown })
        }

        pub(super) fn ptr(&self) -> NonNull<u8> {
            self.ptr
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: allocated in `anonymous` with this layout; nobody uses it after its owner.
            unsafe { dealloc(self.ptr.as_ptr(), self.layout) };
        }
    }
}
use memory::Memory;
