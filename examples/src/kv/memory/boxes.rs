//! Keys and values as boxes of the global allocator.
#![forbid(unsafe_code)]

use super::{Budget, Data};
use crate::kv::reply::OutOfMemory;
use std::cell::Cell;

/// Boxes, within a budget.
#[derive(Debug)]
pub struct Boxes {
    limit: usize,
    used: Cell<usize>,
    peak: Cell<usize>,
}

impl Boxes {
    /// At most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, used: Cell::new(0), peak: Cell::new(0) }
    }

    /// Charges `len` bytes or refuses.
    fn charge(&self, len: usize) -> Result<(), OutOfMemory> {
        let used = self.used.get().checked_add(len).filter(|&used| used <= self.limit);
        self.used.set(used.ok_or(OutOfMemory)?);
        self.peak.set(self.peak.get().max(self.used.get()));
        Ok(())
    }
}

impl Data for Boxes {
    type Bytes = Box<[u8]>;

    fn store(&self, bytes: &[u8], overhead: usize) -> Result<Box<[u8]>, OutOfMemory> {
        let charge = bytes.len().checked_add(overhead).ok_or(OutOfMemory)?;
        self.charge(charge)?;
        let mut copy = Vec::new();
        if copy.try_reserve_exact(bytes.len()).is_err() {
            self.used.set(self.used.get() - charge);
            return Err(OutOfMemory);
        }
        copy.extend_from_slice(bytes);
        Ok(copy.into_boxed_slice())
    }

    fn discard(&self, bytes: Box<[u8]>, overhead: usize) {
        self.used.set(self.used.get() - bytes.len() - overhead);
    }

    fn budget(&self) -> Budget {
        Budget { used: self.used.get(), peak: self.peak.get(), limit: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_exact() {
        let data = Boxes::new(100);
        let a = data.store(&[1; 40], 10).unwrap();
        assert_eq!(data.store(&[1; 50], 1), Err(OutOfMemory));
        let b = data.store(&[2; 50], 0).unwrap();
        assert_eq!(data.budget(), Budget { used: 100, peak: 100, limit: 100 });
        data.discard(a, 10);
        data.discard(b, 0);
        assert_eq!(data.budget(), Budget { used: 0, peak: 100, limit: 100 });
        assert_eq!(data.store(&[1], usize::MAX), Err(OutOfMemory));
    }
}
