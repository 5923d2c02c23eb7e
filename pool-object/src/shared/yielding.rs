//! What a heap does when its source refuses: it gives back what idles, no more than it takes, and what
//! is soonest missed last. As in `store/yielding`, the cost is in proportion, since a heap may live
//! at its limit for good.
#![forbid(unsafe_code)]

use super::alloc::SharedAlloc;
use super::central::Central;
use super::ledger::Desk;
use super::registry::{Slot, with_cache};
use crate::size_class::SizeClass;
use crate::yielding::ask_again;
use pool_core::{PageError, PageSource, Request, Run};

impl<S: PageSource> SharedAlloc<S> {
    /// A run that the source has refused, if it gives one for what idles here.
    #[cold]
    #[inline(never)]
    pub(super) fn yield_for(
        &self,
        slot: Slot,
        central: &Central,
        request: Request,
        refusal: PageError,
    ) -> Result<Run, PageError> {
        let give_back = |bytes| self.give_back(slot, central, bytes);
        ask_again(&self.source, request, refusal, || central.held(), give_back)
    }

    /// Gives back so many bytes of spans, or all that are empty, or could be if this thread has their
    /// blocks, or nobody; if none are, whatever idles, and asks other threads for theirs. Bytes.
    fn give_back(&self, slot: Slot, central: &Central, wanted: usize) -> usize {
        let mut given = 0;
        // Meanwhile others may fill what is emptied here.
        let mut presses = 0..SizeClass::COUNT;
        while given < wanted {
            let bytes = self.release_spare(central, 0);
            if bytes > 0 {
                given += bytes;
            } else if let Some(class) = idlest(slot, central).filter(|_| presses.next().is_some()) {
                press(slot, central, class);
            } else {
                break;
            }
        }
        if given == 0 { self.release_idle(slot, central) } else { given }
    }
}

/// The class that can have empty spans of which most is not in use; `None` if none can.
fn idlest(slot: Slot, central: &Central) -> Option<SizeClass> {
    let idle = |class: SizeClass| {
        let cached =
            with_cache(slot, |cache| Desk::of(cache, central).map_or(0, |desk| desk.len(class)));
        (central.idle(class, cached), class)
    };
    let (bytes, class) = SizeClass::all().map(idle).max()?;
    (bytes > 0).then_some(class)
}

/// Puts all free blocks of a class into their spans, but for other threads' ones.
fn press(slot: Slot, central: &Central, class: SizeClass) {
    with_cache(slot, |cache| match Desk::of(cache, central) {
        Some(desk) => desk.press(class),
        None => {
            central.give_all(class, &[], 0);
        }
    });
}
