//! What one event loop tells of itself at one moment.
#![forbid(unsafe_code)]

use serde::Serialize;
use std::time::Duration;

/// How old partials are counted by: younger than so many milliseconds, and the rest.
pub const AGES: [u32; 6] = [10, 100, 1_000, 10_000, 60_000, u32::MAX];

/// How full spans are told: in eighths, 0 for empty and 8 for full.
pub const FILLS: u8 = 8;

/// The spans of one size of blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassUse {
    /// Bytes of a block.
    pub block: u32,
    /// Bytes of all spans.
    pub bytes: u64,
    /// Blocks in use.
    pub used: u64,
    /// Blocks that the spans have.
    pub blocks: u64,
    /// A digit for each span: how full it is in [`FILLS`]ths, rounded up, so that only empty ones are 0.
    pub fills: String,
}

/// Figures by name, spans by class, partials by age.
///
/// It is filled again and again: names, classes and their texts keep their room, so in the steady
/// state that takes nothing from the allocator.
///
/// ```
/// use examples::kv::metrics::Snapshot;
/// let mut all = Snapshot::default();
/// for clients in [3, 4] {
///     let mut one = Snapshot::default();
///     one.begin();
///     one.figure("clients", clients);
///     one.end();
///     all.add(&one);
/// }
/// assert_eq!(all.get("clients"), Some(7));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    figures: Vec<(String, u64)>,
    /// Figures of this filling so far; those behind are of the last one.
    filled: usize,
    classes: Vec<ClassUse>,
    filled_classes: usize,
    /// Partials younger than each of [`AGES`] and not younger than the one before.
    pub ages: [u64; AGES.len()],
}

impl Snapshot {
    /// Begins to fill it anew.
    pub fn begin(&mut self) {
        (self.filled, self.filled_classes) = (0, 0);
        self.ages = [0; AGES.len()];
    }

    /// Adds a figure; names are `snake_case`.
    pub fn figure(&mut self, name: &str, value: u64) {
        match self.figures.get_mut(self.filled) {
            Some(figure) => {
                if figure.0 != name {
                    figure.0.clear();
                    figure.0.push_str(name);
                }
                figure.1 = value;
            }
            None => self.figures.push((name.to_owned(), value)),
        }
        self.filled += 1;
    }

    /// Adds a span of blocks of `block` bytes. Those of one class come together.
    pub fn span(&mut self, block: usize, used: usize, blocks: usize, bytes: usize) {
        let block = u32::try_from(block).unwrap_or(u32::MAX);
        let last = self.filled_classes.checked_sub(1);
        let same = last.filter(|&last| self.classes[last].block == block);
        let index = same.unwrap_or_else(|| self.new_class(block));
        let class = &mut self.classes[index];
        class.bytes += bytes as u64;
        class.used += used as u64;
        class.blocks += blocks as u64;
        let eighths = (used * usize::from(FILLS)).div_ceil(blocks.max(1));
        class.fills.push(char::from(b'0' + eighths.min(usize::from(FILLS)) as u8));
    }

    fn new_class(&mut self, block: u32) -> usize {
        let index = self.filled_classes;
        match self.classes.get_mut(index) {
            Some(class) => {
                (class.block, class.bytes, class.used, class.blocks) = (block, 0, 0, 0);
                class.fills.clear();
            }
            None => self.classes.push(ClassUse { block, ..ClassUse::default() }),
        }
        self.filled_classes += 1;
        index
    }

    /// Counts a partial of this age.
    pub fn partial(&mut self, age: Duration) {
        let millis = age.as_millis();
        let index = AGES.iter().position(|&end| millis < u128::from(end));
        self.ages[index.unwrap_or(AGES.len() - 1)] += 1;
    }

    /// Ends the filling: what is left of the last one goes.
    pub fn end(&mut self) {
        self.figures.truncate(self.filled);
        self.classes.truncate(self.filled_classes);
    }

    /// Adds another loop's.
    pub fn add(&mut self, other: &Self) {
        for (name, value) in &other.figures {
            match self.figures.iter_mut().find(|figure| figure.0 == *name) {
                Some(figure) => figure.1 += value,
                None => self.figures.push((name.clone(), *value)),
            }
        }
        for class in &other.classes {
            match self.classes.iter_mut().find(|ours| ours.block == class.block) {
                Some(ours) => {
                    ours.bytes += class.bytes;
                    ours.used += class.used;
                    ours.blocks += class.blocks;
                    ours.fills.push_str(&class.fills);
                }
                None => self.classes.push(class.clone()),
            }
        }
        self.classes.sort_by_key(|class| class.block);
        (self.filled, self.filled_classes) = (self.figures.len(), self.classes.len());
        self.ages.iter_mut().zip(&other.ages).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// All figures in the order they were added.
    pub fn figures(&self) -> impl Iterator<Item = (&str, u64)> {
        self.figures.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.figures().find_map(|(figure, value)| (figure == name).then_some(value))
    }

    /// The classes that have spans, the smallest first.
    #[must_use]
    pub fn classes(&self) -> &[ClassUse] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(figures: &[(&str, u64)], spans: &[(usize, usize)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        fill(&mut snapshot, figures, spans);
        snapshot
    }

    fn fill(snapshot: &mut Snapshot, figures: &[(&str, u64)], spans: &[(usize, usize)]) {
        snapshot.begin();
        figures.iter().for_each(|&(name, value)| snapshot.figure(name, value));
        spans.iter().for_each(|&(block, used)| snapshot.span(block, used, 100, 4096));
        snapshot.end();
    }

    #[test]
    fn filling_again_forgets_the_last_time() {
        let mut snapshot = filled(&[("a", 1), ("b", 2), ("c", 3)], &[(8, 1), (8, 100), (64, 50)]);
        assert_eq!(snapshot.classes()[0].fills, "18");
        snapshot.partial(Duration::from_millis(10));
        fill(&mut snapshot, &[("a", 4), ("other", 5)], &[(16, 0)]);
        assert_eq!(snapshot, filled(&[("a", 4), ("other", 5)], &[(16, 0)]));
        assert_eq!(snapshot.get("b"), None);
        assert_eq!(snapshot.classes()[0].fills, "0");
    }

    #[test]
    fn loops_are_added() {
        let mut all = filled(&[("a", 1)], &[(64, 10)]);
        all.add(&filled(&[("b", 2), ("a", 3)], &[(8, 100), (64, 90)]));
        assert_eq!(all.figures().collect::<Vec<_>>(), [("a", 4), ("b", 2)]);
        let classes: Vec<_> = all.classes().iter().map(|class| (class.block, class.used)).collect();
        assert_eq!(classes, [(8, 100), (64, 100)]);
        assert_eq!(all.classes()[1].fills, "18");
    }

    #[test]
    fn ages_have_half_open_bounds() {
        let mut snapshot = Snapshot::default();
        for millis in [0, 9, 10, 59_999, 60_000, u64::MAX] {
            snapshot.partial(Duration::from_millis(millis));
        }
        assert_eq!(snapshot.ages, [2, 1, 0, 0, 1, 2]);
    }
}
