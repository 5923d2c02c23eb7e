//! `Table`: a growing array in memory of its own from the system, never from Rust's global
//! allocator, since the source that keeps it may stand beneath that.

use super::mapping::{Mapping, Spec};
use super::page_size;
use crate::error::OsError;
use core::ops::{Deref, DerefMut};
use core::{mem, ptr, slice};

/// A `Vec` on a mapping. Growing may be refused and then changes nothing.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// `None` while nothing was ever pushed.
    memory: Option<Mapping>,
    /// The first `len` places of the memory hold values.
    len: usize,
    /// Places that the memory has; 0 without memory.
    capacity: usize,
    values: core::marker::PhantomData<T>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { memory: None, len: 0, capacity: 0, values: core::marker::PhantomData }
    }

    fn ptr(&self) -> *mut T {
        match &self.memory {
            Some(memory) => memory.ptr().as_ptr().cast(),
            None => ptr::dangling_mut(),
        }
    }

    /// Makes room for `more` values beyond those that are there.
    pub(crate) fn reserve(&mut self, more: usize) -> Result<(), OsError> {
        const { assert!(align_of::<T>() <= 64 && size_of::<T>() > 0) };
        let wanted = self.len.saturating_add(more);
        if wanted <= self.capacity {
            return Ok(());
        }
        let bytes = wanted.max(self.capacity * 2).saturating_mul(size_of::<T>());
        let len = bytes.checked_next_multiple_of(page_size()).unwrap_or(bytes);
        let memory = Mapping::anonymous(Spec { len, align: 1, huge: None })?;
        // SAFETY: the old memory holds `len` values, the new one has room for more than that, and
        // two mappings do not overlap. The old values are not used or dropped after this.
        unsafe { ptr::copy_nonoverlapping(self.ptr(), memory.ptr().as_ptr().cast(), self.len) };
        self.memory = Some(memory);
        self.capacity = len / size_of::<T>();
        Ok(())
    }

    pub(crate) fn push(&mut self, value: T) -> Result<(), OsError> {
        self.reserve(1)?;
        // SAFETY: `len < capacity`, so the place is within the memory.
        let place = unsafe { self.ptr().add(self.len) };
        // SAFETY: the place is ours, aligned (mappings are to a page) and holds no value yet.
        unsafe { place.write(value) };
        self.len += 1;
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the place at the old `len - 1` is within the memory.
        let place = unsafe { self.ptr().add(self.len) };
        // SAFETY: it holds a value, which the new `len` no longer counts.
        Some(unsafe { place.read() })
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` places hold values, and `&self` keeps them.
        unsafe { slice::from_raw_parts(self.ptr(), self.len) }
    }
}

impl<T> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` makes the borrow exclusive.
        unsafe { slice::from_raw_parts_mut(self.ptr(), self.len) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        if mem::needs_drop::<T>() {
            while self.pop().is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;

    #[test]
    fn values_move_with_the_table_and_drop_once() {
        let value = Arc::new(());
        let mut table = Table::new();
        for index in 0..3000 {
            table.push((index, value.clone())).unwrap();
        }
        assert_eq!(Arc::strong_count(&value), 3001);
        assert!(table.iter().enumerate().all(|(at, (index, _))| at == *index));
        assert_eq!(table.pop().map(|(index, _)| index), Some(2999));
        drop(table);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
