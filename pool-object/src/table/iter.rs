//! Iterators over a table. A storage file.

use crate::table::cursor::{Cursor, Place};
use crate::table::key::Key;
use crate::table::store::{Draining, Store};
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::mem;
use pool_core::PageSource;

/// The keys and values of a [`SlotTable`](crate::SlotTable), in the order of their slots.
pub struct Iter<'a, T> {
    /// Of a store that is borrowed for `'a`, so that its pages stay.
    cursor: Cursor<T>,
    left: usize,
    store: PhantomData<&'a T>,
}

// SAFETY: it lends `&T` and nothing else, as `&[T]` does.
unsafe impl<T: Sync> Send for Iter<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Iter<'_, T> {}

/// The keys and values of a [`SlotTable`](crate::SlotTable), to be changed, in the order of their
/// slots.
pub struct IterMut<'a, T> {
    /// Of a store that is exclusively borrowed for `'a`.
    cursor: Cursor<T>,
    left: usize,
    store: PhantomData<&'a mut T>,
}

// SAFETY: it lends `&mut T` and nothing else, as `&mut [T]` does.
unsafe impl<T: Send> Send for IterMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for IterMut<'_, T> {}

impl<'a, T> Iter<'a, T> {
    #[inline]
    pub(crate) fn new<S: PageSource>(store: &'a Store<T, S>) -> Self {
        Self { cursor: store.cursor(), left: store.len(), store: PhantomData }
    }

    /// # Safety
    /// The place is a tenant's of the store.
    #[inline(always)]
    unsafe fn lend(place: &Place<T>) -> (Key, &'a T) {
        // SAFETY: no tenant leaves the store, which is borrowed.
        let key = unsafe { place.key() };
        // SAFETY: a tenant's slot is one of a live page.
        let value = unsafe { place.spot.value() };
        // SAFETY: as above; shared, as the store is, for as long.
        (key, unsafe { value.as_ref() })
    }
}

impl<'a, T> IterMut<'a, T> {
    #[inline]
    pub(crate) fn new<S: PageSource>(store: &'a mut Store<T, S>) -> Self {
        Self { cursor: store.cursor(), left: store.len(), store: PhantomData }
    }

    /// # Safety
    /// The place is a tenant's of the store, and this is its only time here.
    #[inline(always)]
    unsafe fn lend(place: &Place<T>) -> (Key, &'a mut T) {
        // SAFETY: no tenant leaves the store, which is borrowed.
        let key = unsafe { place.key() };
        // SAFETY: a tenant's slot is one of a live page.
        let mut value = unsafe { place.spot.value() };
        // SAFETY: as above; the store is borrowed exclusively, and each place is lent once.
        (key, unsafe { value.as_mut() })
    }
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { cursor: self.cursor.clone(), ..*self }
    }
}

/// Both iterators go the same way.
macro_rules! iterate {
    ($name:ident, $item:ty) => {
        impl<'a, T> Iterator for $name<'a, T> {
            type Item = (Key, $item);

            #[inline(always)]
            fn next(&mut self) -> Option<Self::Item> {
                // SAFETY: the store is borrowed, so its pages are as they were.
                let place = unsafe { self.cursor.next() }?;
                self.left -= 1;
                // SAFETY: the cursor comes to each tenant once.
                Some(unsafe { Self::lend(&place) })
            }

            #[inline]
            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.left, Some(self.left))
            }

            #[inline]
            fn fold<B, F: FnMut(B, Self::Item) -> B>(self, start: B, mut f: F) -> B {
                // SAFETY: as in `lend` above.
                let f = |result, place| f(result, unsafe { Self::lend(&place) });
                // SAFETY: the store is borrowed, so its pages are as they were.
                unsafe { self.cursor.fold(start, f) }
            }
        }

        impl<T> ExactSizeIterator for $name<'_, T> {}
        impl<T> FusedIterator for $name<'_, T> {}
    };
}
iterate!(Iter, &'a T);
iterate!(IterMut, &'a mut T);

/// Takes all values out of a [`SlotTable`](crate::SlotTable), in the order of their slots. Those
/// that are left when it is dropped are dropped, too; if it is forgotten they stay in the table.
pub struct Drain<'a, T, S: PageSource> {
    pub(crate) draining: Draining<'a, T, S>,
}

impl<T, S: PageSource> Iterator for Drain<'_, T, S> {
    type Item = (Key, T);

    #[inline]
    fn next(&mut self) -> Option<(Key, T)> {
        self.draining.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.draining.left(), Some(self.draining.left()))
    }
}

impl<T, S: PageSource> ExactSizeIterator for Drain<'_, T, S> {}
impl<T, S: PageSource> FusedIterator for Drain<'_, T, S> {}

impl<T, S: PageSource> Drop for Drain<'_, T, S> {
    fn drop(&mut self) {
        /// Goes on if a value's destructor panics.
        struct Rest<'a, 'b, T, S: PageSource>(&'a mut Draining<'b, T, S>);
        impl<T, S: PageSource> Drop for Rest<'_, '_, T, S> {
            fn drop(&mut self) {
                while self.0.next().is_some() {}
            }
        }
        if mem::needs_drop::<T>() {
            let rest = Rest(&mut self.draining);
            while rest.0.next().is_some() {}
        } else {
            while self.draining.next().is_some() {}
        }
    }
}
