//! What a heap does when its source refuses: it gives back what idles, and asks again.
#![forbid(unsafe_code)]

use pool_core::{PageError, PageSource, Request, Run};

/// A run that `source` has refused, if it gives one for what idles: at most `idle()` bytes, of which
/// `give_back` gives as many as it is told, and says how many it gave.
pub(crate) fn ask_again<S: PageSource>(
    source: &S,
    request: Request,
    mut refusal: PageError,
    idle: impl Fn() -> usize,
    give_back: impl Fn(usize) -> usize,
) -> Result<Run, PageError> {
    // More each time: it may not be bytes that are missing, but a piece that is long enough.
    let mut wanted = request.len;
    while may_help(&refusal, idle()) && give_back(wanted) > 0 {
        match source.acquire(request) {
            Ok(run) => return Ok(run),
            Err(error) => refusal = error,
        }
        wanted = wanted.saturating_mul(2);
    }
    Err(refusal)
}

/// Whether a source may give what it has refused when it has `idle` bytes more.
fn may_help(refusal: &PageError, idle: usize) -> bool {
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
