//! Which gates are not met, and what was found out about it.

use crate::gates::{Outcome, Verdict};
use crate::render::{digits, verdict};
use std::fmt::Write;

/// What is known of one gate or of some: the workload, an engine or `""` for all, how its measure begins, and why it
/// is missed. No number stands here: those are the record's.
pub const WHY: [(&str, &str, &str, &str); 30] = [
    ("pair-16k", "LocalCache", "time", SLOT),
    ("pair-64k", "LocalCache", "time", SLOT),
    (
        "burst-16k",
        "LocalCache",
        "time",
        "the class is found first, and bytes are counted, which a `Vec` of runs of one length need not; how much of that hides \
         behind the loads differs between processors",
    ),
    (
        "burst-16k",
        "Cache",
        "time",
        "both need two locked instructions; beside them the cache finds thread and class and counts bytes, which the queue need \
         not, and how much of that hides behind them differs between processors",
    ),
    (
        "sizes",
        "Arena",
        "",
        "room is shown in parts, so that large objects fail the same comparison: some instructions at each part's end",
    ),
    (
        "request-new",
        "Arena",
        "instructions",
        "each request takes its first chunk from the source and gives it back; the rest is what `request-reset` costs",
    ),
    (
        "request-reset",
        "Arena",
        "",
        "all is inlined but the `memcpy` of its strings, which the floor has as well; nobody has found more to leave out",
    ),
    (
        "push-100k",
        "Arena, Vec",
        "instructions",
        "`Vec::push` of `allocator-api2` stores its length each time; a tail builder does not",
    ),
    (
        "outliers",
        "Arena",
        "time",
        "memory that went back is new again, page by page; peers keep theirs: the column *bytes*",
    ),
    ("replace-256", "", "time", CACHED),
    ("replace-4k", "", "time", CACHED),
    ("blocks-random", "", "time", CACHED),
    (
        "block-hot",
        "",
        "time",
        "a thread's cache is found first, through a thread-local; then it is a few loads and stores, each waiting for the one before",
    ),
    (
        "hand-over",
        "",
        "time",
        "two threads at the speed of the slower one, through a queue that costs more than a block: the ratio differs from run to run",
    ),
    ("list-free", "", "time / rusty_alloc", NEW_AGAIN),
    ("resident", "", "time", NEW_AGAIN),
    ("pool-hot", "", "instructions", BOUNDS),
    ("pool-hot", "", "time", GUARD),
    (
        "pool-hot-2t",
        "",
        "time",
        "the threads share nothing, so that it is `pool-hot` twice: a guard asks the hook, counts, and stays sound if the hook panics; \
         how much a queue of all threads loses by their meeting differs from run to run",
    ),
    (
        "pool-hand-over",
        "SharedPool",
        "time",
        "two threads at the speed of the slower one, through a queue that costs as much as one of objects: the ratio differs from run to run",
    ),
    (
        "slot-churn",
        "SlotTable",
        "time / slab",
        "a slot is found through its page, its generation and its bit of liveness are elsewhere: three places, where `slab` has one",
    ),
    (
        "slot-look",
        "SlotTable",
        "instructions",
        "a page behind a bound, the slot's generation, the value: a step each, as values never move; and the compiler copies the \
         slot's number once more than it needs",
    ),
    (
        "frames",
        "PacketRing",
        "time",
        "what is left over of one connection is stored and fetched again, which a buffer of its own need not: it is made for many",
    ),
    (
        "frames",
        "RingBuf",
        "time",
        "both copy each byte once and cut the same frames: there is nothing left to win",
    ),
    (
        "frames",
        "RingBuf, mirrored",
        "time",
        "as `RingBuf`; what each byte having two addresses costs the processor is not known",
    ),
    (
        "frames-10k",
        "PacketRing",
        "",
        "chunks of 256 bytes: about half of one is unused with each partial, and notes are counted as well; time goes to memory that has left the caches",
    ),
    (
        "frames-100k-random",
        "PacketRing",
        "time",
        "a turn waits for its entry, then for what the entry leads to, in memory that has left the caches; who knows the next connection \
         calls `prefetch`, which is the other engine",
    ),
    (
        "storm",
        "PacketRing",
        "ns",
        "single operations, with a reading of the clock: interrupts and other processes are in the last thousandth",
    ),
    (
        "spsc-64",
        "",
        "time",
        "both sides wait for each other's cache line, as rtrb's do; the limit is a prototype's that has not been reached again",
    ),
    (
        "segments-shuffled",
        "Reassembler",
        "time",
        "conflicts are told, and age and bytes are bounded, for each piece; smoltcp has an array of 32 pairs of numbers",
    ),
];

const SLOT: &str = "the same slot is written and read over and over, which this processor forwards in a bare `Vec`, and not where \
    the class is looked up first; in `burst-16k` slots rest";
const CACHED: &str = "the blocks lie in the second-level cache: waiting for them is the same for all engines, and more of the time than \
    instructions are";
const NEW_AGAIN: &str = "what is freed beyond the reserve goes back to the system, so that it is new in the next round, page by page; \
    rusty_alloc keeps its pages";
const GUARD: &str = "a guard asks the hook whether it keeps the object, counts, and stays sound if the hook panics; the limit is a prototype's, \
    which did less";

const BOUNDS: &str = "to get and to put each compare a bound and move the top, to get counts a hit, and a thread's magazine is found both \
    times; hooks and panics cost nothing here, but this loop has no register left for the guard; the limit is a prototype's, which did less";

/// What is known about a gate.
#[must_use]
pub fn why(gate: &Outcome) -> Option<&'static str> {
    let of = |(workload, engine, measure, _): &&(&str, &str, &str, &str)| {
        let same = engine.is_empty() || *engine == gate.engine;
        *workload == gate.workload && same && gate.measure.starts_with(measure)
    };
    WHY.iter().find(of).map(|(.., why)| *why)
}

/// How many gates there are, and how many of them are met.
#[must_use]
pub fn in_words(gates: &[Outcome]) -> String {
    let count = |of: &dyn Fn(&Outcome) -> bool| gates.iter().filter(|gate| of(gate)).count();
    let missed = |gate: &Outcome| gate.verdict == Verdict::Missed;
    format!(
        "Of {} gates {} are met, {} are met or missed within the noise, {} ratios of times are missed, {} \
         counts are missed, and {} were not measured.",
        gates.len(),
        count(&|gate| gate.verdict == Verdict::Met),
        count(&|gate| gate.verdict == Verdict::Near),
        count(&|gate| missed(gate) && !gate.binding),
        count(&|gate| missed(gate) && gate.binding),
        count(&|gate| gate.verdict == Verdict::Unknown),
    )
}

/// Those that are not met, as a table: its head, then a line for each.
#[must_use]
pub fn cells(gates: &[Outcome]) -> Vec<Vec<String>> {
    let mut cells = vec![["gate", "limit", "measured", "", "why"].map(str::to_owned).to_vec()];
    for gate in gates.iter().filter(|gate| gate.verdict != Verdict::Met) {
        let Outcome { workload, engine, measure, .. } = gate;
        let unknown = if gate.verdict == Verdict::Near { "noise" } else { "not known" };
        cells.push(vec![
            format!("{workload}, {engine}: {measure}"),
            format!("≤ {}", digits(gate.limit)),
            gate.value.map_or_else(|| "-".to_owned(), digits),
            verdict(gate).to_owned(),
            why(gate).unwrap_or(unknown).to_owned(),
        ]);
    }
    cells
}

/// Both, in Markdown.
#[must_use]
pub fn in_markdown(gates: &[Outcome]) -> String {
    let mut text = format!("{}\n\n", in_words(gates));
    for (number, line) in cells(gates).iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | "));
        text += if number == 0 { "|---|--:|--:|---|---|\n" } else { "" };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(verdict: Verdict, binding: bool) -> Outcome {
        let text = |text: &str| text.to_owned();
        let (workload, engine) = (text("slot-look"), text("SlotTable"));
        let measure = text("instructions");
        Outcome { workload, engine, measure, limit: 24.0, value: Some(27.0), verdict, binding }
    }

    #[test]
    fn what_is_not_met_is_listed_with_its_reason() {
        let gates = [gate(Verdict::Met, true), gate(Verdict::Missed, true)];
        let text = in_markdown(&gates);
        assert!(text.starts_with("Of 2 gates 1 are met"), "{text}");
        assert_eq!(text.matches("| slot-look").count(), 1, "{text}");
        assert!(text.contains("generation"), "{text}");
    }

    #[test]
    fn reasons_are_those_of_one_gate() {
        let other = Outcome { measure: "time / slab".to_owned(), ..gate(Verdict::Missed, false) };
        assert_eq!(why(&other), None);
        assert!(why(&gate(Verdict::Missed, true)).is_some());
    }
}
