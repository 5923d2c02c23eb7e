use super::*;
extern crate std;
use std::vec;
use std::vec::Vec;

/// The naive model: one flag a page, and the rule by the book.
struct Model {
    first: u32,
    free: Vec<bool>,
}

impl Model {
    fn new(first: u32, end: u32) -> Self {
        Self { first, free: (0..end).map(|page| page >= first).collect() }
    }

    fn end(&self) -> u32 {
        self.free.len() as u32
    }

    fn is_free(&self, page: u32, order: u32) -> bool {
        let end = page + (1 << order);
        page >= self.first && end <= self.end() && (page..end).all(|p| self.free[p as usize])
    }

    /// The largest naturally aligned free blocks, in the order of `for_each_free`.
    fn blocks(&self) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        for order in 0..32 - self.end().leading_zeros() {
            for page in (0..self.end()).step_by(1 << order) {
                let parent = page & !((2 << order) - 1);
                if self.is_free(page, order) && !self.is_free(parent, order + 1) {
                    found.push((page, order));
                }
            }
        }
        found
    }

    /// Best fit by order, lowest address.
    fn find(&self, order: u32, align: u32) -> Option<u32> {
        self.blocks().iter().find(|block| block.1 >= order.max(align)).map(|block| block.0)
    }

    fn set(&mut self, page: u32, order: u32, free: bool) {
        for p in page..page + (1 << order) {
            assert_ne!(self.free[p as usize], free);
            self.free[p as usize] = free;
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

fn agree(map: &BuddyMap, words: &[u64], model: &Model) {
    map.check(words);
    let mut found = Vec::new();
    map.for_each_free(words, |page, order| found.push((page, order)));
    assert_eq!(found, model.blocks());
    let free = model.free.iter().filter(|&&free| free).count() as u32;
    assert_eq!(map.free_pages(words), free);
    assert_eq!(map.is_empty(words), free == map.pages());
    assert_eq!(map.largest_free_order(words), found.last().map(|block| block.1));
}

fn random_program(first: u32, end: u32, steps: usize) {
    let map = BuddyMap::new(first as usize, end as usize).unwrap();
    let mut words = vec![u64::MAX; map.words()];
    map.reset(&mut words);
    let mut model = Model::new(first, end);
    agree(&map, &words, &model);
    assert_eq!(map.largest_free_order(&words), Some(map.largest_order()));
    let mut live: Vec<(u32, u32)> = Vec::new();
    let mut random = Random(u64::from(first) << 32 | u64::from(end) | 1 << 63);
    for _ in 0..steps {
        match random.below(8) {
            0..=3 => {
                let order = random.below(map.orders as usize + 1) as u32;
                let order = order.min(random.below(map.orders as usize + 1) as u32);
                let align = random.below(map.orders as usize + 2) as u32;
                let align = if random.below(4) == 0 { align } else { 0 };
                let expected = model.find(order, align);
                let got = map.allocate(&mut words, order, align);
                assert_eq!(got, expected, "order {order} align {align}");
                if let Some(page) = got {
                    assert_eq!(page % (1 << order.max(align)), 0);
                    model.set(page, order, false);
                    live.push((page, order));
                }
            }
            4 if !live.is_empty() => {
                let at = random.below(live.len());
                let (page, order) = live[at];
                let to = random.below(order as usize + 1) as u32;
                map.shrink(&mut words, page, order, to);
                model.set(page, order, true);
                model.set(page, to, false);
                live[at].1 = to;
            }
            _ if !live.is_empty() => {
                let (page, order) = live.swap_remove(random.below(live.len()));
                map.free(&mut words, page, order);
                model.set(page, order, true);
            }
            _ => {}
        }
        agree(&map, &words, &model);
    }
    for (page, order) in live.drain(..) {
        map.free(&mut words, page, order);
    }
    let mut fresh = vec![0; map.words()];
    map.reset(&mut fresh);
    assert_eq!(words, fresh);
}

#[test]
fn all_small_maps_agree_with_the_model() {
    let (sizes, steps) = if cfg!(miri) { (1..=7, 8) } else { (1..=70, 120) };
    for end in sizes {
        for first in [0, 1, 3, 8, end / 2, end - 1] {
            if first < end {
                random_program(first, end, steps);
            }
        }
    }
}

#[test]
fn larger_maps_agree_with_the_model() {
    let steps = if cfg!(miri) { 3 } else { 300 };
    for (first, end) in [(0, 512), (0, 1000), (37, 1061)] {
        random_program(first, end, steps);
    }
}

/// Every page alone, then given back in three orders: it must all merge.
#[test]
fn singles_merge_whatever_the_order() {
    let sizes = if cfg!(miri) { 1..=6 } else { 1..=70u32 };
    for end in sizes {
        let map = BuddyMap::new(0, end as usize).unwrap();
        let mut words = vec![0; map.words()];
        map.reset(&mut words);
        let whole = words.clone();
        for stride in [1, 3, end - 1] {
            let mut pages: Vec<_> = (0..end).map(|_| map.allocate(&mut words, 0, 0)).collect();
            pages.sort_unstable();
            assert!(pages.into_iter().eq((0..end).map(Some)));
            assert_eq!(map.allocate(&mut words, 0, 0), None);
            assert_eq!(map.largest_free_order(&words), None);
            let stride = if gcd(stride, end) == 1 { stride } else { 1 };
            for step in 0..end {
                map.free(&mut words, step * stride % end, 0);
            }
            assert_eq!(words, whole);
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[test]
fn the_limits_of_the_shape() {
    assert!(BuddyMap::new(0, 0).is_none());
    assert!(BuddyMap::new(5, 5).is_none());
    let largest = BuddyMap::new(0, u32::MAX as usize).unwrap();
    assert_eq!(largest.largest_order(), 31);
    #[cfg(target_pointer_width = "64")]
    assert!(BuddyMap::new(0, u32::MAX as usize + 1).is_none());
    let map = BuddyMap::new(0, 5).unwrap();
    let mut words = vec![0; map.words()];
    map.reset(&mut words);
    for order in [3, 31, 32, 63, 64, u32::MAX] {
        assert_eq!(map.allocate(&mut words, order, 0), None);
        assert_eq!(map.allocate(&mut words, 0, order), None);
    }
    assert_eq!(map.free_pages(&words), 5);
}

#[test]
fn the_documented_bytes_a_page() {
    let bytes = |pages: usize| 8 * BuddyMap::new(0, pages).unwrap().words();
    assert_eq!(bytes(512), 296);
    for pages in (10_000..1_000_000).step_by(977) {
        assert!(bytes(pages) * 100 <= pages * 29, "{pages}: {}", bytes(pages));
    }
}

#[cfg(debug_assertions)]
mod misuse {
    use super::*;

    fn some_map() -> (BuddyMap, Vec<u64>) {
        let map = BuddyMap::new(2, 1000).unwrap();
        let mut words = vec![0; map.words()];
        map.reset(&mut words);
        (map, words)
    }

    #[test]
    #[should_panic(expected = "free already")]
    fn a_block_freed_twice() {
        let (map, mut words) = some_map();
        let page = map.allocate(&mut words, 2, 0).unwrap();
        map.free(&mut words, page, 2);
        map.free(&mut words, page, 2);
    }

    #[test]
    #[should_panic(expected = "free already")]
    fn a_block_of_which_a_part_is_free() {
        let (map, mut words) = some_map();
        let page = map.allocate(&mut words, 2, 0).unwrap();
        map.shrink(&mut words, page, 2, 1);
        map.free(&mut words, page, 2);
    }

    #[test]
    #[should_panic(expected = "no block")]
    fn a_block_behind_the_end() {
        let (map, mut words) = some_map();
        map.free(&mut words, 1000, 3);
    }

    #[test]
    #[should_panic(expected = "no block")]
    fn a_block_before_the_beginning() {
        let (map, mut words) = some_map();
        map.free(&mut words, 0, 0);
    }

    #[test]
    #[should_panic(expected = "no block")]
    fn a_block_in_the_wrong_place() {
        let (map, mut words) = some_map();
        let page = map.allocate(&mut words, 1, 0).unwrap();
        map.free(&mut words, page + 1, 1);
    }
}
