//! Blocks of a shared heap above the largest class: runs of their own, in a table. A storage file.

use super::alloc::SharedAlloc;
use super::central::Central;
use crate::error::AllocError;
use crate::large;
use core::alloc::Layout;
use core::ptr::NonNull;
use pool_core::{PageError, PageSource, Request};

impl<S: PageSource> SharedAlloc<S> {
    #[cold]
    pub(super) fn allocate_large(
        &self,
        layout: Layout,
        zeroed: bool,
    ) -> Result<NonNull<u8>, AllocError> {
        let refused = |error| AllocError::source(layout, error);
        let entry = self.entry().map_err(refused)?;
        let request = large::request(layout, zeroed);
        let run = self.acquire(self.slot(), &entry.central, request).map_err(refused)?;
        let block = large::block(&run, layout);
        let mut run = Some(run);
        loop {
            entry.central.large.with(|large| {
                if large.wants().is_none() {
                    run.take().into_iter().for_each(|run| large.insert(run));
                }
            });
            let Some(waiting) = run.take() else { return Ok(block) };
            if let Err(error) = self.grow_table(&entry.central) {
                large::show(&waiting);
                // SAFETY: acquired above, released once.
                unsafe { self.source.release(waiting) };
                return Err(refused(error));
            }
            run = Some(waiting);
        }
    }

    /// Makes the table of large blocks longer, if that is still needed.
    pub(super) fn grow_table(&self, central: &Central) -> Result<(), PageError> {
        let Some(bytes) = central.large.with(|large| large.wants()) else { return Ok(()) };
        let memory = self.source.acquire(Request::new(bytes))?;
        let old = central.large.with(|large| match large.wants() {
            Some(bytes) if bytes <= memory.len() => large.install(memory),
            // Another thread was faster.
            _ => Some(memory),
        });
        if let Some(old) = old {
            // SAFETY: from this source, and not used any more.
            unsafe { self.source.release(old) };
        }
        Ok(())
    }

    /// Takes a large block back.
    ///
    /// # Safety
    /// It is one of this heap, and nobody uses it any more.
    pub(super) unsafe fn deallocate_large(&self, block: NonNull<u8>) {
        let Some(entry) = self.existing() else { return };
        if let Some(run) = entry.central.large.with(|large| large.remove(block)) {
            large::show(&run);
            // SAFETY: it came from this source, and the caller gives it up.
            unsafe { self.source.release(run) };
        }
    }

    /// Whether a large block may serve a large layout where it is.
    pub(super) fn stays_large(&self, block: NonNull<u8>, new: Layout) -> bool {
        let Some(entry) = self.existing() else { return false };
        entry.central.large.with(|large| large.stays(block, new))
    }
}
