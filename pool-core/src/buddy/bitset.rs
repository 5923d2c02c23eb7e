//! A set of small numbers that finds its least member fast: a 64-ary tree of words.
//!
//! Level 0 has a bit for each number; each level above has a bit for each word below it that is
//! not 0, up to a level of one word. The levels stand one after another, lowest first, so that
//! inserting and removing, which mostly end at level 0, touch one word.
#![forbid(unsafe_code)]

/// Where a set of numbers below `len` stands in an array of words. The words are the caller's and
/// are passed to each call; they begin as zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BitSet {
    /// Index of the first word of level 0.
    start: u32,
    /// Index of the only word of the highest level.
    top: u32,
    /// Numbers are below this; at least 1.
    len: u32,
}

const BITS: usize = u64::BITS as usize;

impl BitSet {
    /// A set of numbers below `len` (at least 1) in the words from `start` on.
    pub(crate) const fn new(start: u32, len: u32) -> Self {
        let (mut top, mut words) = (start, len.div_ceil(u64::BITS));
        while words > 1 {
            top += words;
            words = words.div_ceil(u64::BITS);
        }
        Self { start, top, len }
    }

    /// Index of the first word behind the set.
    pub(crate) const fn end(&self) -> u32 {
        self.top + 1
    }

    /// Numbers are below this.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Whether `index` is in the set. The bits behind `len` up to the end of its word may be asked
    /// for too: they are never set.
    #[inline]
    pub(crate) fn contains(&self, words: &[u64], index: u32) -> bool {
        let word = words[self.start as usize + index as usize / BITS];
        word >> (index as usize % BITS) & 1 != 0
    }

    /// Adds `index`. `true`: the set was empty before.
    #[inline]
    pub(crate) fn insert(&self, words: &mut [u64], index: u32) -> bool {
        let (mut at, mut len, mut index) = (self.start as usize, self.len as usize, index as usize);
        loop {
            let word = &mut words[at + index / BITS];
            let before = *word;
            *word = before | 1 << (index % BITS);
            if before != 0 {
                return false;
            }
            len = len.div_ceil(BITS);
            if len == 1 {
                return true;
            }
            at += len;
            index /= BITS;
        }
    }

    /// Takes `index` out, which is in the set. `true`: the set is empty now.
    #[inline]
    pub(crate) fn remove(&self, words: &mut [u64], index: u32) -> bool {
        let (mut at, mut len, mut index) = (self.start as usize, self.len as usize, index as usize);
        loop {
            let word = &mut words[at + index / BITS];
            *word &= !(1 << (index % BITS));
            if *word != 0 {
                return false;
            }
            len = len.div_ceil(BITS);
            if len == 1 {
                return true;
            }
            at += len;
            index /= BITS;
        }
    }

    /// The least member of a set that is not empty: one word a level, from the top.
    #[inline]
    pub(crate) fn first(&self, words: &[u64]) -> u32 {
        let (mut at, mut index) = (self.top as usize, 0);
        let mut shift = self.shift();
        loop {
            index = index * BITS + words[at + index].trailing_zeros() as usize;
            if shift == 0 {
                return index as u32;
            }
            at -= ((self.len as usize - 1) >> shift) + 1;
            shift -= BITS.trailing_zeros();
        }
    }

    /// The number of levels below the top, times six: the level below the top has
    /// `((len - 1) >> shift) + 1` words.
    #[inline]
    const fn shift(&self) -> u32 {
        let bits = u64::BITS.trailing_zeros();
        ((self.len - 1) | 1).ilog2() / bits * bits
    }

    /// The least member that is `from` or more. Reads one word a level up and one a level down.
    pub(crate) fn next(&self, words: &[u64], from: u32) -> Option<u32> {
        let (mut at, mut len, mut index) = (self.start as usize, self.len as usize, from as usize);
        let mut level = 0;
        while index < len {
            let rest = words[at + index / BITS] >> (index % BITS);
            if rest != 0 {
                index += rest.trailing_zeros() as usize;
                return Some(self.descend(words, level, index));
            }
            len = len.div_ceil(BITS);
            if len == 1 {
                return None;
            }
            at += len;
            index = index / BITS + 1;
            level += 1;
        }
        None
    }

    /// The least member beneath bit `index` of `level`, which is set.
    fn descend(&self, words: &[u64], level: u32, mut index: usize) -> u32 {
        for level in (0..level).rev() {
            index = index * BITS + words[self.level(level) + index].trailing_zeros() as usize;
        }
        index as u32
    }

    /// Index of the first word of `level`.
    fn level(&self, level: u32) -> usize {
        let (mut at, mut len) = (self.start as usize, self.len as usize);
        for _ in 0..level {
            len = len.div_ceil(BITS);
            at += len;
        }
        at
    }

    /// Panics unless every level tells the truth about the one below, and no bit stands behind the
    /// end. `true` if the set is not empty.
    pub(crate) fn check(&self, words: &[u64]) -> bool {
        let (mut at, mut len) = (self.start as usize, self.len as usize);
        loop {
            let count = len.div_ceil(BITS);
            let (level, above) = words[at..].split_at(count);
            let unused = (count * BITS - len) as u32;
            assert_eq!(level[count - 1].leading_zeros().min(unused), unused, "bits behind the end");
            if count == 1 {
                return level[0] != 0;
            }
            for (index, &word) in level.iter().enumerate() {
                let marked = above[index / BITS] >> (index % BITS) & 1 != 0;
                assert_eq!(marked, word != 0, "a summary lies about word {index}");
            }
            at += count;
            len = count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::collections::BTreeSet;
    use std::vec;
    use std::vec::Vec;

    fn members(set: &BitSet, words: &[u64]) -> Vec<u32> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(index) = set.next(words, from) {
            found.push(index);
            from = index + 1;
        }
        found
    }

    /// Every length around a level's limit, every member alone.
    #[test]
    fn each_number_alone_is_found() {
        let lens: &[u32] = if cfg!(miri) {
            &[1, 2, 63, 64, 65, 130]
        } else {
            &[1, 2, 63, 64, 65, 127, 128, 129, 4095, 4096, 4097, 5000]
        };
        for &len in lens {
            let set = BitSet::new(3, len);
            let mut words = vec![0; set.end() as usize];
            for index in 0..len {
                assert!(set.insert(&mut words, index));
                assert!(set.check(&words));
                assert_eq!(set.first(&words), index);
                assert_eq!(set.next(&words, 0), Some(index));
                assert_eq!(set.next(&words, index), Some(index));
                assert_eq!(set.next(&words, index + 1), None);
                assert!(set.contains(&words, index));
                assert!(set.remove(&mut words, index));
                assert!(!set.check(&words));
            }
            assert!(words.iter().all(|&word| word == 0));
        }
    }

    #[test]
    fn random_sets_agree_with_a_tree() {
        let rounds = if cfg!(miri) { 200 } else { 20_000 };
        for len in [1, 64, 65, 1000, 4097, 300_000] {
            if cfg!(miri) && len > 5000 {
                continue;
            }
            let set = BitSet::new(0, len);
            let mut words = vec![0; set.end() as usize];
            let mut model = BTreeSet::new();
            let mut random = 1u64;
            for round in 0..rounds {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(len.into());
                let index = (random >> 33) as u32 % len;
                if model.insert(index) {
                    assert_eq!(set.insert(&mut words, index), model.len() == 1);
                } else {
                    model.remove(&index);
                    assert_eq!(set.remove(&mut words, index), model.is_empty());
                }
                if let Some(&first) = model.first() {
                    assert_eq!(set.first(&words), first);
                }
                let from = (random >> 12) as u32 % (len + 1);
                assert_eq!(set.next(&words, from), model.range(from..).next().copied());
                if round % 1000 == 0 {
                    assert_eq!(set.check(&words), !model.is_empty());
                    assert!(members(&set, &words).iter().eq(model.iter()));
                }
            }
        }
    }

    #[test]
    fn the_tree_costs_a_sixty_third_of_the_bits() {
        let set = BitSet::new(0, 1 << 20);
        assert_eq!(set.end(), (1 << 14) + (1 << 8) + 4 + 1);
    }
}
