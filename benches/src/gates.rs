//! What must hold: the numbers that the crates have set themselves against their peers, as data.

use crate::table::Row;
use crate::workloads::first_touch::huge_pages_granted;
use crate::workloads::heaps;
use serde::{Deserialize, Serialize};

/// What is held against the limit.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// Instructions an operation.
    Instructions,
    /// Instructions over the least of these engines'.
    InstructionRatio(&'static [&'static str]),
    /// Time over that of the fastest of these engines.
    TimeRatio(&'static [&'static str]),
    /// The same; the table names that engine and not all of them.
    TimeOverFastest(&'static [&'static str]),
    /// Instructions over those of the same engine on this workload.
    Growth(&'static str),
    /// Bytes held at the end.
    Bytes,
    /// The same for each that holds some.
    BytesEach,
    /// Nanoseconds that half of all single operations take at most.
    Median,
    /// Nanoseconds that one of a thousand takes more than.
    Tail,
}

/// One promise: on `workload`, the measure of `engine` is at most `limit`.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// The workload.
    pub workload: &'static str,
    /// The engine, one of ours.
    pub engine: &'static str,
    /// What is measured.
    pub measure: Measure,
    /// The most that it may be.
    pub limit: f64,
}

const OWNED: &[&str] = &["Vec<ptr>"];
const OWNED_RUNS: &[&str] = &["Vec<Run>"];
const THREAD_LOCAL: &[&str] = &["thread-local Vec"];
const QUEUE: &[&str] = &["ArrayQueue<ptr>"];
const QUEUE_OF_RUNS: &[&str] = &["ArrayQueue<Run>"];
const SYSTEM: &[&str] = &["mmap+munmap"];
const BUDDIES: &[&str] = &["buddy_system Heap", "buddy_system Frames"];
const FIFTIETH: f64 = 1.0 / 50.0;

const BUMPALO: &[&str] = &["bumpalo"];
/// Arenas by others, in Rust, by all settings that are measured.
const ARENAS: &[&str] =
    &["bumpalo", "bumpalo<8>", "bump-scope", "bump-scope, up", "blink-alloc", "typed-arena"];
/// What the ratios of times were set against.
const MIMALLOC: &[&str] = &["mimalloc crate"];
/// The fastest heap in Rust by others.
const RUSTY: &[&str] = &["rusty_alloc"];
const OPOOL: &[&str] = &["opool LocalPool (Box)"];
const QUEUE_OF_BOXES: &[&str] = &["ArrayQueue<Box>"];
/// Where objects wait that one thread got and another puts back, by all that are measured.
const HANDED_OVER: &[&str] = &[
    "Box, glibc",
    "Box, mimalloc",
    "Mutex<Vec<Box>>",
    "ArrayQueue<Box>",
    "SegQueue<Box>",
    "object-pool (Box)",
    "opool (Box)",
];
const SLAB: &[&str] = &["slab"];
const SLOTMAP: &[&str] = &["slotmap"];
const BYTES_MUT: &[&str] = &["BytesMut"];
const BYTES_MUT_SMALL: &[&str] = &["BytesMut, 8 KiB"];
const RTRB: &[&str] = &["rtrb"];
const SMOLTCP: &[&str] = &["smoltcp"];
/// Blocks of 40 bytes that `resident` has.
const RESIDENT: f64 = heaps::resident::BLOCKS as f64;
/// What an arena retains by default.
const RETAINED: f64 = (1 << 20) as f64;

/// All of them.
#[must_use]
pub fn gates() -> Vec<Gate> {
    let mut gates = of_runs();
    gates.extend(of_arenas());
    gates.extend(of_heaps());
    gates.extend(of_pools());
    gates.extend(of_tables());
    gates.extend(of_streams());
    gates
}

fn gate(workload: &'static str, engine: &'static str, measure: Measure, limit: f64) -> Gate {
    Gate { workload, engine, measure, limit }
}

fn of_arenas() -> Vec<Gate> {
    use Measure::{Bytes, Instructions, TimeOverFastest, TimeRatio};
    let mut gates = vec![
        gate("values", "Arena", Instructions, 10.0),
        gate("sizes", "Arena", Instructions, 12.0),
        gate("request-new", "Arena", Instructions, 400.0),
        gate("request-reset", "Arena", Instructions, 310.0),
        gate("push-100k", "Arena", Instructions, 7.0),
        gate("push-100k", "Arena, Vec", Instructions, 9.0),
        gate("texts", "Arena", Instructions, 26.0),
        gate("outliers", "Arena", Bytes, RETAINED),
    ];
    for workload in ["values", "sizes", "request-new", "request-reset"] {
        gates.push(gate(workload, "Arena", TimeRatio(BUMPALO), 0.9));
    }
    let all = ["values", "sizes", "request-new", "request-reset", "push-100k", "texts"];
    for workload in all.into_iter().chain(["request-reset-2t", "outliers"]) {
        gates.push(gate(workload, "Arena", TimeOverFastest(ARENAS), 1.03));
    }
    gates
}

/// The limits are, in this order, those of `SmallAlloc` and of `SharedAlloc`, be it one of several or
/// the process-wide one.
fn of_heaps() -> Vec<Gate> {
    use Measure::{Bytes, Instructions, TimeRatio};
    let instructions = [
        ("block-hot", [20.0, 24.0]),
        ("block-hot-any", [42.0, 45.0]),
        ("blocks-fifo", [28.0, 30.0]),
        ("blocks-random", [28.0, 30.0]),
        ("replace-256", [55.0, 60.0]),
        ("replace-4k", [75.0, 80.0]),
        ("list-free", [38.0, 40.0]),
    ];
    let times = [
        ("block-hot", [0.35, 0.40]),
        ("blocks-random", [0.65, 0.75]),
        ("replace-256", [0.50, 0.55]),
        ("replace-4k", [0.25, 0.25]),
    ];
    // Wherever it can be compared, not where the limits of others are.
    let all = [
        "block-hot",
        "block-hot-any",
        "blocks-fifo",
        "blocks-random",
        "replace-256",
        "replace-4k",
        "list-free",
        "resident",
    ];
    let mut gates = Vec::new();
    for (engine, place) in [("SmallAlloc", 0), ("SharedAlloc", 1), ("GlobalHeap", 1)] {
        for (workload, limits) in instructions {
            gates.push(gate(workload, engine, Instructions, limits[place]));
        }
        for (workload, limits) in times {
            gates.push(gate(workload, engine, TimeRatio(MIMALLOC), limits[place]));
        }
        gates.extend(all.map(|workload| gate(workload, engine, TimeRatio(RUSTY), 1.0)));
        gates.push(gate("resident", engine, Bytes, 41.0 * RESIDENT));
    }
    for engine in ["SmallAlloc", "SharedAlloc"] {
        gates.push(gate("list-drop", engine, Instructions, 0.1));
    }
    for engine in ["SharedAlloc", "GlobalHeap"] {
        gates.push(gate("hand-over", engine, TimeRatio(MIMALLOC), 1.0 / 2.9));
        gates.push(gate("hand-over", engine, TimeRatio(RUSTY), 1.0));
    }
    gates
}

fn of_pools() -> Vec<Gate> {
    use Measure::{Instructions, TimeOverFastest, TimeRatio};
    vec![
        gate("pool-hot", "Pool", Instructions, 28.0),
        gate("pool-hot", "SharedPool, handle", Instructions, 38.0),
        gate("pool-hot", "SharedPool", Instructions, 38.0),
        gate("pool-hot", "Pool", TimeRatio(OPOOL), 0.5),
        gate("pool-hot", "SharedPool, handle", TimeRatio(QUEUE_OF_BOXES), 0.2),
        gate("pool-hot", "SharedPool", TimeRatio(QUEUE_OF_BOXES), 0.3),
        gate("pool-hot-2t", "SharedPool, handle", TimeRatio(QUEUE_OF_BOXES), 0.2),
        gate("pool-hot-2t", "SharedPool", TimeRatio(QUEUE_OF_BOXES), 0.2),
        gate("pool-hand-over", "SharedPool", TimeOverFastest(HANDED_OVER), 1.0),
        gate("pool-256", "Pool", Instructions, 56.0),
        gate("pool-256", "SharedPool, handle", Instructions, 75.0),
        gate("pool-256", "SharedPool", Instructions, 75.0),
    ]
}

fn of_tables() -> Vec<Gate> {
    use Measure::{Instructions, TimeRatio};
    vec![
        gate("slot-churn", "SlotTable", Instructions, 110.0),
        gate("slot-churn", "SlotTable", TimeRatio(SLAB), 1.2),
        gate("slot-churn", "SlotTable", TimeRatio(SLOTMAP), 0.8),
        gate("slot-look", "SlotTable", Instructions, 24.0),
        gate("slot-iterate", "SlotTable", Instructions, 8.5),
    ]
}

fn of_streams() -> Vec<Gate> {
    use Measure::{Bytes, BytesEach, Instructions, Median, Tail, TimeRatio};
    let mut gates = vec![
        gate("frames", "RingBuf", Instructions, 415.0),
        gate("frames", "RingBuf, mirrored", Instructions, 400.0),
        gate("frames", "RingBuf", TimeRatio(BYTES_MUT), 1.0),
        gate("frames", "RingBuf, mirrored", TimeRatio(BYTES_MUT), 1.0),
        gate("frames", "PacketRing", TimeRatio(BYTES_MUT), 1.15),
        gate("lines", "RingBuf", Instructions, 170.0),
        gate("lines", "RingBuf, decoder", Instructions, 170.0),
        gate("frames-10k", "PacketRing", Instructions, 550.0),
        gate("frames-10k", "PacketRing", TimeRatio(BYTES_MUT), 0.7),
        gate("frames-10k", "PacketRing", BytesEach, 675.0),
        gate("requests-10k", "PacketRing", Bytes, 0.0),
        gate("frames-100k", "PacketRing", TimeRatio(BYTES_MUT_SMALL), 1.0),
        gate("frames-100k-random", "PacketRing", TimeRatio(BYTES_MUT_SMALL), 1.0),
        gate("frames-100k-random", "PacketRing, prefetch", TimeRatio(BYTES_MUT_SMALL), 1.0),
        gate("storm", "PacketRing", Median, 250.0),
        gate("storm", "PacketRing", Tail, 1000.0),
    ];
    for engine in ["spsc", "spsc, mirrored"] {
        gates.push(gate("spsc-64", engine, TimeRatio(RTRB), 0.65));
        gates.push(gate("spsc-1500", engine, TimeRatio(RTRB), 1.0));
    }
    for workload in ["segments", "segments-shuffled"] {
        gates.push(gate(workload, "Reassembler", Instructions, 740.0));
        gates.push(gate(workload, "Reassembler", TimeRatio(SMOLTCP), 1.0));
    }
    gates
}

fn of_runs() -> Vec<Gate> {
    use Measure::{Growth, InstructionRatio, Instructions, TimeRatio};
    let mut gates = Vec::new();
    for pair in ["pair-16k", "pair-64k"] {
        gates.extend([
            gate(pair, "LocalCache", Instructions, 25.0),
            gate(pair, "LocalCache", TimeRatio(OWNED), 1.5),
            gate(pair, "Global", Instructions, 45.0),
            gate(pair, "Global", TimeRatio(THREAD_LOCAL), 1.5),
            gate(pair, "Cache", TimeRatio(QUEUE), 1.0),
            gate(pair, "Cache", TimeRatio(QUEUE_OF_RUNS), 1.0),
        ]);
        gates.extend(
            ["LocalCache", "Global", "Cache"]
                .map(|engine| gate(pair, engine, TimeRatio(SYSTEM), FIFTIETH)),
        );
    }
    gates.extend([
        gate("burst-16k", "LocalCache", Instructions, 25.0),
        gate("burst-16k", "LocalCache", TimeRatio(OWNED_RUNS), 1.5),
        gate("burst-16k", "Global", Instructions, 45.0),
        gate("burst-16k", "Global", TimeRatio(THREAD_LOCAL), 1.5),
        gate("burst-16k", "Cache", TimeRatio(QUEUE), 1.0),
        gate("pair-16k-2t", "Cache", TimeRatio(QUEUE), 1.0),
        gate("pair-16k-2t", "Cache", TimeRatio(QUEUE_OF_RUNS), 1.0),
        gate("pair-16k-2t", "Cache", TimeRatio(SYSTEM), FIFTIETH),
        gate("pair-16k-2t", "Global", TimeRatio(SYSTEM), FIFTIETH),
        gate("pair-16k-2t", "Global", TimeRatio(THREAD_LOCAL), 1.5),
    ]);
    for buddy in ["buddy-half", "buddy-singles-1k", "buddy-singles-8k", "buddy-singles-64k"] {
        // Not at half full: lists of free blocks take few instructions there, and wait for memory.
        if buddy != "buddy-half" {
            gates.push(gate(buddy, "Buddy", InstructionRatio(BUDDIES), 1.3));
        }
        gates.push(gate(buddy, "Buddy", TimeRatio(BUDDIES), 1.3));
    }
    for engine in ["Buddy", "Mmap"] {
        gates.push(gate("buddy-singles-8k", engine, Growth("buddy-singles-1k"), 1.25));
        gates.push(gate("buddy-singles-64k", engine, Growth("buddy-singles-8k"), 1.25));
    }
    gates.push(gate("first-touch-2m", "Mmap, huge pages", TimeRatio(&["Mmap, base pages"]), 0.1));
    gates
}

/// What became of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Below the limit.
    Met,
    /// A ratio of times whose quarters lie on both sides of the limit.
    Near,
    /// Above the limit: an instruction count, or three quarters of all ratios.
    Missed,
    /// A tool or a gift of the machine is missing.
    Unknown,
}

/// A gate, with what was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The workload.
    pub workload: String,
    /// The engine.
    pub engine: String,
    /// What was measured, in words.
    pub measure: String,
    /// The most that it may be.
    pub limit: f64,
    /// What it is.
    pub value: Option<f64>,
    /// Whether that is good.
    pub verdict: Verdict,
    /// Whether the program fails if it is missed: counts do not vary, and ratios of ten and more do
    /// not vary so much. Other ratios of times are told, and judged by people.
    pub binding: bool,
}

/// Binding gates that were missed.
pub fn missed(gates: &[Outcome]) -> impl Iterator<Item = &Outcome> {
    gates.iter().filter(|gate| gate.verdict == Verdict::Missed && gate.binding)
}

/// A value, and between what it lies if it varies: low, middle, high.
type Held = (Option<f64>, Option<f64>, Option<f64>);

/// What does not vary.
fn exact(value: Option<f64>) -> Held {
    (value, value, value)
}

impl Measure {
    /// Whether it is of time, which varies.
    fn timed(self) -> bool {
        use Measure::{Median, Tail, TimeOverFastest, TimeRatio};
        matches!(self, Median | Tail | TimeRatio(_) | TimeOverFastest(_))
    }

    /// In words, and what it is of `own`; `find` finds another row.
    fn of<'a>(self, own: &Row, find: &dyn Fn(&str, &str) -> Option<&'a Row>) -> (String, Held) {
        let peer = |name: &&str| find(&own.workload, name);
        match self {
            Self::Instructions => ("instructions".to_owned(), exact(own.instructions)),
            Self::InstructionRatio(peers) => {
                let counts = peers.iter().filter_map(peer).filter_map(|row| row.instructions);
                let ratio = own.instructions.zip(counts.min_by(f64::total_cmp));
                let ratio = ratio.map(|(own, least)| own / least);
                (format!("instructions / {}", peers.join(" or ")), exact(ratio))
            }
            Self::Growth(from) => {
                let before = find(from, &own.engine).and_then(|row| row.instructions);
                let ratio = own.instructions.zip(before).map(|(own, before)| own / before);
                (format!("instructions / {from}"), exact(ratio))
            }
            Self::Bytes => ("bytes".to_owned(), exact(own.bytes.map(|bytes| bytes as f64))),
            Self::BytesEach => {
                let held = own.bytes.zip(own.held_by).filter(|(_, by)| *by > 0);
                let each = held.map(|(bytes, by)| bytes as f64 / by as f64);
                ("bytes for each that holds some".to_owned(), exact(each))
            }
            Self::Median => {
                let value = own.tail.map(|tail| tail.median as f64);
                ("ns of a single one, median".to_owned(), exact(value))
            }
            Self::Tail => {
                let value = own.tail.map(|tail| tail.p999 as f64);
                ("ns of a single one, p99.9".to_owned(), exact(value))
            }
            Self::TimeRatio(peers) | Self::TimeOverFastest(peers) => {
                let ratios = peers.iter().filter_map(peer);
                let ratios = ratios.filter_map(|row| Some((row, own.times.over(&row.times)?)));
                let worst = ratios.max_by(|a, b| a.1.median.total_cmp(&b.1.median));
                let names = match (self, worst) {
                    (Self::TimeOverFastest(_), Some((row, _))) => {
                        format!("fastest peer, {}", row.engine)
                    }
                    _ => peers.join(" or "),
                };
                let worst = worst.map(|(_, ratio)| ratio);
                let held = (worst.map(|w| w.q1), worst.map(|w| w.median), worst.map(|w| w.q3));
                (format!("time / {names}"), held)
            }
        }
    }
}

impl Gate {
    /// Holds the gate against rows that were measured together; `None` if its row is not there.
    #[must_use]
    pub fn judge(&self, rows: &[Row]) -> Option<Outcome> {
        let find = |workload: &str, engine: &str| {
            rows.iter().find(|row| row.workload == workload && row.engine == engine)
        };
        let (measure, held) = self.measure.of(find(self.workload, self.engine)?, &find);
        let held = self.as_shown(held);
        let (workload, engine) = (self.workload.to_owned(), self.engine.to_owned());
        Some(Outcome {
            workload,
            engine,
            measure,
            limit: self.limit,
            value: held.1,
            verdict: self.verdict(held),
            binding: !self.measure.timed() || self.limit <= 0.1,
        })
    }

    /// Instructions to a tenth, as the table has them: a round's reset is a share of each of its operations.
    fn as_shown(&self, held: Held) -> Held {
        match self.measure {
            Measure::Instructions if self.limit >= 1.0 => {
                exact(held.1.map(|value| (value * 10.0).round() / 10.0))
            }
            _ => held,
        }
    }

    fn verdict(&self, held: Held) -> Verdict {
        match held {
            (Some(_), Some(_), Some(high)) if high <= self.limit => Verdict::Met,
            (Some(low), ..) if low > self.limit && self.applies() => Verdict::Missed,
            (Some(_), Some(_), Some(_)) if self.applies() => Verdict::Near,
            _ => Verdict::Unknown,
        }
    }

    /// Huge pages are the machine's to give.
    fn applies(&self) -> bool {
        self.workload != "first-touch-2m" || huge_pages_granted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_by_those_who_hold_some() {
        let gate = gate("w", "e", Measure::BytesEach, 675.0);
        let judged = |bytes, held_by| {
            let (workload, engine) = ("w".to_owned(), "e".to_owned());
            let row = Row { workload, engine, bytes: Some(bytes), held_by, ..Row::default() };
            let outcome = gate.judge(&[row]).unwrap();
            (outcome.value, outcome.verdict)
        };
        assert_eq!(judged(675_000, Some(1_000)), (Some(675.0), Verdict::Met));
        assert_eq!(judged(675_000, Some(999)).1, Verdict::Missed);
        assert_eq!(judged(675_000, None), (None, Verdict::Unknown));
        assert_eq!(judged(0, Some(0)), (None, Verdict::Unknown));
    }

    /// Some connections have whole frames only: they are not counted.
    #[test]
    fn a_ring_says_how_many_hold_bytes() {
        let case = crate::find("frames-10k", "PacketRing").unwrap();
        let told = case.told();
        let connections = crate::workloads::rings::many::SOME as u64;
        assert!(told.bytes > Some(0) && told.held_by > Some(0), "{told:?}");
        assert!(told.held_by < Some(connections), "{told:?}");
        let case = crate::find("frames-10k", "BytesMut, 8 KiB").unwrap();
        assert_eq!(case.told().held_by, None);
    }
}
