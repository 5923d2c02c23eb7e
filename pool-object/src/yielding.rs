//! Whether it is worth to give anything back to a source that refused.
#![forbid(unsafe_code)]

use pool_core::PageError;

/// Whether a source may give what it has refused when it has `idle` bytes more.
pub(crate) fn may_help(refusal: &PageError, idle: usize) -> bool {
    idle > 0
        && match refusal {
            PageError::ZeroLength
            | PageError::BadAlign { .. }
            | PageError::TooLarge { .. }
            | PageError::Unsupported { .. } => false,
            PageError::OverBudget(over) => {
                let left = over.limit.saturating_sub(over.used);
                over.asked.saturating_sub(left) <= idle
            }
            // What is free in a source of fixed size may be more once all is back.
            _ => true,
        }
}
