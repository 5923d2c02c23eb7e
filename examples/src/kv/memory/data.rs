//! The memory of keys and values: an allocator, and the budget that everything in it is charged to.
#![forbid(unsafe_code)]

use super::blocks::{copy_in, free, relocate, replace};
use crate::kv::reply::OutOfMemory;
use allocator_api2::alloc::{Allocator, Global};
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use pool_core::PageSource;
use pool_object::{LocalHeap, SpanUse, usable_size};
use std::alloc::Layout;
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::mem;

/// An allocator of stored data, as a handle: whatever is stored keeps one (none takes no room).
pub trait Data: Allocator + Clone + 'static {
    /// Bytes that the allocator takes for a block of `len`.
    fn block(len: usize) -> usize;

    /// Gives idle memory back, after much was freed.
    fn trim(&self);

    /// Bytes of live blocks, and bytes held for them, if the allocator tells and can move blocks.
    fn use_of_spans(&self) -> Option<(usize, usize)> {
        None
    }

    /// Makes ready for [`relocate`](Self::relocate).
    fn flush(&self) {}

    /// Moves a block to a place with more neighbours, if there is one; whether it was moved.
    fn relocate(_bytes: &mut Bytes<Self>) -> bool {
        false
    }

    /// Names and values for `INFO memory`.
    fn observe(&self, visit: &mut dyn FnMut(&str, u64));

    /// How full each span is, those of one size of blocks together; an allocator may have none.
    fn spans(&self, _visit: &mut dyn FnMut(SpanUse)) {}
}

impl Data for Global {
    /// As most allocators do it: a header of 8 bytes, and a multiple of 16.
    #[inline]
    fn block(len: usize) -> usize {
        if len == 0 { 0 } else { (len.saturating_add(23) & !15).max(32) }
    }

    fn trim(&self) {}

    fn observe(&self, _visit: &mut dyn FnMut(&str, u64)) {}
}

/// The blocks of up to 4 KiB, by `(len - 1) / 8`: what the heap itself looks up by the same number.
static BLOCKS: [u16; 512] = {
    let mut blocks = [0; 512];
    let mut at = 0;
    while at < blocks.len() {
        blocks[at] = block_of(8 * at + 1) as u16;
        at += 1;
    }
    blocks
};

const fn block_of(len: usize) -> usize {
    match Layout::array::<u8>(len) {
        Ok(layout) if len > 0 => usable_size(layout),
        _ => len,
    }
}

/// Bytes of a block that the table has not.
#[cold]
fn long_block(len: usize) -> usize {
    block_of(len)
}

impl<S: PageSource + 'static> Data for LocalHeap<S> {
    #[inline]
    fn block(len: usize) -> usize {
        // Every write passes here twice.
        match BLOCKS.get(len.wrapping_sub(1) / 8) {
            Some(&block) => usize::from(block),
            None => long_block(len),
        }
    }

    fn use_of_spans(&self) -> Option<(usize, usize)> {
        let stats = self.stats();
        Some((stats.live_bytes(), stats.held_bytes()))
    }

    fn flush(&self) {
        (**self).mark_sparse(SPARSE);
    }

    fn relocate(bytes: &mut Bytes<Self>) -> bool {
        relocate(bytes)
    }

    fn trim(&self) {
        // The method of the heap beneath; it tells how much it was.
        let bytes = (**self).trim();
        tracing::debug!(bytes, "memory of deleted data is given back");
    }

    fn observe(&self, visit: &mut dyn FnMut(&str, u64)) {
        let stats = self.stats();
        visit("data_blocks", stats.live() as u64);
        visit("data_live_bytes", stats.live_bytes() as u64);
        visit("data_held_bytes", stats.held_bytes() as u64);
        visit("data_spare_bytes", stats.spare_bytes as u64);
        visit("data_large_blocks", stats.large as u64);
        visit("data_large_bytes", stats.large_bytes as u64);
        visit("data_spans", stats.used_classes().map(|class| class.spans as u64).sum());
    }

    fn spans(&self, visit: &mut dyn FnMut(SpanUse)) {
        (**self).spans().for_each(visit);
    }
}

/// Spans of which at most so many percent are used may be emptied.
const SPARSE: usize = 90;

/// A stored key, value or element.
pub type Bytes<D> = Box<[u8], D>;

/// Bytes of stored data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Charged now.
    pub used: usize,
    /// The most ever charged at once.
    pub peak: usize,
    /// Allowed.
    pub limit: usize,
}

/// Where data is stored: an allocator, a budget, and the key of the hashes.
///
/// The hash is foldhash with seeds from the system's randomness. It takes a fraction of SipHash's
/// instructions, and what a client would need to find keys that collide, the hashes, it cannot see:
/// `SCAN` goes by places, not by hashes.
pub struct Room<D> {
    alloc: D,
    /// What is allowed; as long as more is used, that.
    limit: Cell<usize>,
    /// What is allowed.
    asked: Cell<usize>,
    /// At most `limit`.
    used: Cell<usize>,
    peak: Cell<usize>,
    seed: u64,
    shared_seed: SharedSeed,
    drawn: Cell<u64>,
    /// Whether something ended since [`take_ended`](Self::take_ended).
    ended: Cell<bool>,
}

impl<D: Data> Room<D> {
    /// At most `limit` bytes of `alloc`.
    pub fn new(alloc: D, limit: usize) -> Self {
        // The standard library's way to random numbers: a keyed hash of nothing.
        let random = || RandomState::new().build_hasher().finish();
        Self {
            alloc,
            limit: Cell::new(limit),
            asked: Cell::new(limit),
            used: Cell::new(0),
            peak: Cell::new(0),
            seed: random(),
            shared_seed: SharedSeed::from_u64(random()),
            drawn: Cell::new(0),
            ended: Cell::new(false),
        }
    }

    /// The allocator, for tables.
    #[inline]
    pub fn alloc(&self) -> D {
        self.alloc.clone()
    }

    /// The hash of a key or an element.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        // Without the length that `Hash` for slices adds: no other type is hashed here.
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write(bytes);
        hasher.finish()
    }

    /// A number below `end`, each as likely as the others; 0 if there is none.
    pub fn random(&self, end: usize) -> usize {
        self.drawn.set(self.drawn.get().wrapping_add(1));
        let random = self.hash(&self.drawn.get().to_ne_bytes());
        (random % (end as u64).max(1)) as usize
    }

    /// Charges bytes, or refuses.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget.
    #[inline]
    pub fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        if !self.has(bytes) {
            return Err(OutOfMemory);
        }
        let used = self.used.get() + bytes;
        self.used.set(used);
        if used > self.peak.get() {
            self.peak.set(used);
        }
        Ok(())
    }

    /// Takes a charge back.
    #[inline]
    pub fn refund(&self, bytes: usize) {
        debug_assert!(bytes <= self.used.get(), "more is refunded than was charged");
        self.used.set(self.used.get().saturating_sub(bytes));
        self.ended.set(true);
    }

    /// Whether something ended since this was called last.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// As [`has_ended`](Self::has_ended), from now on.
    pub fn take_ended(&self) -> bool {
        self.ended.take()
    }

    /// Stores a copy of `bytes`, charged with `overhead` more: its part of a table.
    ///
    /// # Errors
    /// [`OutOfMemory`] over budget, or if the allocator refuses; nothing has changed then.
    #[inline]
    pub fn store(&self, bytes: &[u8], overhead: usize) -> Result<Bytes<D>, OutOfMemory> {
        let cost = D::block(bytes.len()).saturating_add(overhead);
        self.charge(cost)?;
        match copy_in(bytes, self.alloc.clone()) {
            Ok(copy) => Ok(copy),
            Err(error) => {
                self.refund(cost);
                Err(error)
            }
        }
    }

    /// Stores a copy of `bytes` in place of what [`store`](Self::store) has stored without overhead.
    ///
    /// # Errors
    /// As there; the old bytes stay.
    #[inline(always)]
    pub fn replace_here(&self, place: &mut Bytes<D>, bytes: &[u8]) -> Result<(), OutOfMemory> {
        let (old, cost) = (D::block(place.len()), D::block(bytes.len()));
        self.charge(cost)?;
        let replaced = replace(place, bytes);
        self.refund(if replaced.is_ok() { old } else { cost });
        replaced
    }

    /// Writes `piece` at `offset` into what [`store`](Self::store) has stored without overhead, and makes that as long
    /// as it must be, with zeros in between.
    ///
    /// It stays where it is while its block has room: a heap's up to the end of its class, which is an eighth of its
    /// length at most, and above 32 KiB up to the end of its last page. Then all of it moves. So what is appended byte
    /// by byte is copied some 8 to 16 times in all, and of a long string each 4 KiB copy it once.
    ///
    /// # Errors
    /// As there; the bytes are as they were.
    pub fn write_at(
        &self,
        place: &mut Bytes<D>,
        offset: usize,
        piece: &[u8],
    ) -> Result<(), OutOfMemory> {
        let end = offset.checked_add(piece.len()).ok_or(OutOfMemory)?;
        if end > place.len() {
            self.lengthen(place, end)?;
        }
        place[offset..end].copy_from_slice(piece);
        Ok(())
    }

    /// Appends zeros.
    fn lengthen(&self, place: &mut Bytes<D>, len: usize) -> Result<(), OutOfMemory> {
        let more = D::block(len).saturating_sub(D::block(place.len()));
        self.charge(more)?;
        let nothing = Vec::new_in(self.alloc()).into_boxed_slice();
        let mut longer = Vec::from(mem::replace(place, nothing));
        let lengthened = longer.try_reserve_exact(len - longer.len()).map_err(|_| OutOfMemory);
        match lengthened {
            Ok(()) => longer.resize(len, 0),
            Err(OutOfMemory) => self.refund(more),
        }
        *place = longer.into_boxed_slice();
        lengthened
    }

    /// Ends what [`store`](Self::store) began, with the same `overhead`.
    #[inline(always)]
    pub fn discard(&self, bytes: Bytes<D>, overhead: usize) {
        self.refund(D::block(bytes.len()) + overhead);
        free(bytes);
    }

    /// Used and allowed.
    pub fn budget(&self) -> Budget {
        Budget { used: self.used.get(), peak: self.peak.get(), limit: self.asked.get() }
    }

    /// Allows so many bytes from now on. If more are used nothing is granted until there are fewer.
    pub fn set_limit(&self, limit: usize) {
        self.asked.set(limit);
        self.limit.set(limit.max(self.used.get()));
    }

    /// Whether more was used than is allowed, when that was [settled](Self::settle) last.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.limit.get() > self.asked.get()
    }

    /// Has the limit follow what is used down to what is allowed: for whoever has ended something.
    #[inline]
    pub fn settle(&self) {
        if self.is_over() {
            self.set_limit(self.asked.get());
        }
    }

    /// Whether so many bytes would still be granted.
    #[inline]
    pub fn has(&self, bytes: usize) -> bool {
        self.limit.get() - self.used.get() >= bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_core::Heap;

    #[test]
    fn the_budget_is_exact() {
        let room = Room::new(Global, 200);
        let a = room.store(&[1; 40], 10).unwrap();
        assert_eq!(room.budget().used, 64 - 16 + 10);
        assert_eq!(room.store(&[1; 150], 1), Err(OutOfMemory));
        let b = room.store(&[2; 50], 0).unwrap();
        assert_eq!((&a[..], &b[..]), (&[1; 40][..], &[2; 50][..]));
        room.discard(a, 10);
        room.discard(b, 0);
        assert_eq!(room.budget(), Budget { used: 0, peak: 58 + 64, limit: 200 });
        assert_eq!(room.store(&[1], usize::MAX), Err(OutOfMemory));
    }

    #[test]
    fn a_refusal_of_the_allocator_is_not_charged() {
        let room = Room::new(LocalHeap::new_in(Heap::new().limited(1 << 20)), usize::MAX);
        assert_eq!(room.store(&[1; 2 << 20], 0), Err(OutOfMemory));
        assert_eq!(room.budget().used, 0);
        let mut kept = room.store(&[1; 1000], 0).unwrap();
        assert_eq!(room.budget().used, 1024);
        assert_eq!(room.replace_here(&mut kept, &[1; 2 << 20]), Err(OutOfMemory));
        assert_eq!((kept.len(), room.budget().used), (1000, 1024));
        room.replace_here(&mut kept, &[2; 512]).unwrap();
        assert_eq!((&kept[..], room.budget().used), (&[2; 512][..], 512));
        room.discard(kept, 0);
    }

    #[test]
    fn what_is_stored_grows_where_it_is() {
        let room = Room::new(LocalHeap::new_in(Heap::new().limited(1 << 20)), 4 << 20);
        let mut kept = room.store(b"0123456", 0).unwrap();
        let mut model = b"0123456".to_vec();
        let mut moves = 0;
        for round in 0..40_000 {
            let before = kept.as_ptr();
            room.write_at(&mut kept, model.len(), &[round as u8]).unwrap();
            moves += usize::from(before != kept.as_ptr());
            model.push(round as u8);
        }
        assert!(kept[..] == model[..] && moves < 100, "{moves} moves");
        room.write_at(&mut kept, 5, b"within").unwrap();
        model[5..11].copy_from_slice(b"within");
        room.write_at(&mut kept, 50_000, b"gap").unwrap();
        model.resize(50_000, 0);
        model.extend(b"gap");
        // Neither the budget nor the allocator has so much.
        for len in [5 << 20, 2 << 20] {
            assert_eq!(room.write_at(&mut kept, len, b"x"), Err(OutOfMemory));
            assert!(kept[..] == model[..] && room.budget().used == model.len());
        }
        assert_eq!(room.write_at(&mut kept, usize::MAX, b"x"), Err(OutOfMemory));
        room.discard(kept, 0);
        assert_eq!(room.budget().used, 0);
        let plain = Room::new(Global, 1 << 20);
        let mut kept = plain.store(b"", 0).unwrap();
        plain.write_at(&mut kept, 3, b"x").unwrap();
        assert_eq!((&kept[..], plain.budget().used), (&b"\0\0\0x"[..], 32));
        plain.discard(kept, 0);
    }

    #[test]
    fn blocks_are_as_long_as_the_heap_has_them() {
        for len in (0..40_000).chain([100_000, 1 << 20, usize::MAX]) {
            let usable = match Layout::array::<u8>(len) {
                Ok(layout) if len > 0 => usable_size(layout),
                _ => len,
            };
            assert_eq!(LocalHeap::<Heap>::block(len), usable, "{len}");
        }
    }

    #[test]
    fn hashes_are_keyed() {
        let (one, other) = (Room::new(Global, 1), Room::new(Global, 1));
        assert_eq!(one.hash(b"key"), one.hash(b"key"));
        assert_ne!(one.hash(b"key"), other.hash(b"key"));
        let drawn: std::collections::HashSet<_> = (0..200).map(|_| one.random(50)).collect();
        assert!(drawn.len() > 40 && drawn.iter().all(|&number| number < 50));
    }
}
