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
    /// Index of the first word of each level, lowest first. A table, as reckoning it at each step
    /// of each descent took a tenth of all instructions.
    level: [u32; LEVELS],
    /// The highest level, which has one word; the table is not used above it.
    top: u8,
    /// Numbers are below this; at least 1.
    len: u32,
}

const BITS: usize = u64::BITS as usize;
/// Enough for numbers of 32 bits, 6 bits a level.
const LEVELS: usize = 6;

impl BitSet {
    /// A set of numbers below `len` (at least 1) in the words from `start` on.
    pub(crate) const fn new(start: u32, len: u32) -> Self {
        let (mut level, mut top, mut words) = ([start; LEVELS], 0, len.div_ceil(u64::BITS));
        while words > 1 {
            level[top + 1] = level[top] + words;
            words = words.div_ceil(u64::BITS);
            top += 1;
        }
        Self { level, top: top as u8, len }
    }

    /// Index of the first word behind the set.
    pub(crate) const fn end(&self) -> u32 {
        self.level[self.top as usize] + 1
    }

    /// The levels that there are, lowest first.
    fn levels(&self) -> impl Iterator<Item = (usize, usize)> {
        self.level[..=self.top as usize].iter().map(|&at| at as usize).enumerate()
    }

    /// Whether `index` is in the set. The bits behind `len` up to the end of its word may be asked
    /// for too: they are never set.
    #[inline]
    pub(crate) fn contains(&self, words: &[u64], index: u32) -> bool {
        let word = words[self.level[0] as usize + index as usize / BITS];
        word >> (index as usize % BITS) & 1 != 0
    }

    /// Adds `index`. `true`: the set was empty before.
    #[inline(always)]
    pub(crate) fn insert(&self, words: &mut [u64], index: u32) -> bool {
        let index = index as usize;
        let word = &mut words[self.level[0] as usize + index / BITS];
        let before = *word;
        *word = before | 1 << (index % BITS);
        before == 0 && (self.top == 0 || self.mark(words, index / BITS))
    }

    /// Takes `index` out, which is in the set. `true`: the set is empty now.
    #[inline(always)]
    pub(crate) fn remove(&self, words: &mut [u64], index: u32) -> bool {
        let index = index as usize;
        let word = &mut words[self.level[0] as usize + index / BITS];
        *word &= !(1 << (index % BITS));
        *word == 0 && (self.top == 0 || self.unmark(words, index / BITS))
    }

    /// Takes the least member out of a set that is not empty, and says whether it is empty now:
    /// one word a level, from the top.
    #[inline(always)]
    pub(crate) fn pop(&self, words: &mut [u64]) -> (u32, bool) {
        let (mut level, mut index) = ((self.top as usize).min(LEVELS - 1), 0);
        while level > 0 {
            let word = words[self.level[level] as usize + index];
            index = index * BITS + word.trailing_zeros() as usize;
            level -= 1;
        }
        let word = &mut words[self.level[0] as usize + index];
        let least = index * BITS + word.trailing_zeros() as usize;
        *word &= word.wrapping_sub(1);
        let empty = *word == 0 && (self.top == 0 || self.unmark(words, index));
        (least as u32, empty)
    }

    /// Says on level 1 and above that word `index` of level 0 is no longer 0. `true`: all were.
    #[inline(never)]
    fn mark(&self, words: &mut [u64], mut index: usize) -> bool {
        for &at in &self.level[1..=self.top as usize] {
            let word = &mut words[at as usize + index / BITS];
            let before = *word;
            *word = before | 1 << (index % BITS);
            if before != 0 {
                return false;
            }
            index /= BITS;
        }
        true
    }

    /// Says on level 1 and above that word `index` of level 0 is 0 now. `true`: all are.
    #[inline(never)]
    fn unmark(&self, words: &mut [u64], mut index: usize) -> bool {
        for &at in &self.level[1..=self.top as usize] {
            let word = &mut words[at as usize + index / BITS];
            *word &= !(1 << (index % BITS));
            if *word != 0 {
                return false;
            }
            index /= BITS;
        }
        true
    }

    /// The least member that is `from` or more. Reads one word a level up and one a level down.
    pub(crate) fn next(&self, words: &[u64], from: u32) -> Option<u32> {
        if from >= self.len {
            return None;
        }
        let mut index = from as usize;
        for (level, at) in self.levels() {
            // From level 1 on the position may be that of the first word behind the level.
            let word = if index / BITS < self.words_of(level) {
                words[at + index / BITS]
            } else {
                return None;
            };
            let rest = word >> (index % BITS);
            if rest != 0 {
                index += rest.trailing_zeros() as usize;
                for &at in self.level[..level].iter().rev() {
                    index = index * BITS + words[at as usize + index].trailing_zeros() as usize;
                }
                return Some(index as u32);
            }
            index = index / BITS + 1;
        }
        None
    }

    /// Words of `level`.
    fn words_of(&self, level: usize) -> usize {
        let bits = BITS.trailing_zeros() as usize * (level + 1);
        ((self.len as usize - 1) >> bits) + 1
    }

    /// Panics unless every level tells the truth about the one below, and no bit stands behind the
    /// end. `true` if the set is not empty.
    pub(crate) fn check(&self, words: &[u64]) -> bool {
        let mut len = self.len as usize;
        for (level, at) in self.levels() {
            let count = len.div_ceil(BITS);
            assert_eq!(count, self.words_of(level), "the shape of level {level}");
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
            len = count;
        }
        unreachable!("the highest level has one word")
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
            &[1, 64, 66]
        } else {
            &[1, 2, 63, 64, 65, 127, 128, 129, 4095, 4096, 4097, 5000]
        };
        for &len in lens {
            let set = BitSet::new(3, len);
            let mut words = vec![0; set.end() as usize];
            for index in 0..len {
                assert!(set.insert(&mut words, index));
                assert!(set.check(&words));
                assert_eq!(set.next(&words, 0), Some(index));
                assert_eq!(set.next(&words, index), Some(index));
                assert_eq!(set.next(&words, index + 1), None);
                assert!(set.contains(&words, index));
                assert!(set.remove(&mut words, index));
                assert!(!set.check(&words));
                set.insert(&mut words, index);
                assert_eq!(set.pop(&mut words), (index, true));
                assert!(!set.check(&words));
            }
            assert!(words.iter().all(|&word| word == 0));
        }
    }

    #[test]
    fn random_sets_agree_with_a_tree() {
        let rounds = if cfg!(miri) { 60 } else { 20_000 };
        for len in [1, 64, 65, 1000, 4097, 300_000] {
            if cfg!(miri) && len > 1000 {
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
                if round % 3 == 0 {
                    if let Some(first) = model.pop_first() {
                        assert_eq!(set.pop(&mut words), (first, model.is_empty()));
                    }
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
