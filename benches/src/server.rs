//! The server's part of the scoreboard. Two other programs measure `kv` and write `benches/record/DATE-NAME.md`; here
//! are the commands, the tables that they wrote last, and the gates, which are judged from those tables alone.

use crate::gates::{Outcome, Verdict};
use crate::record::DIRECTORY;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that measures the server.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// How its file's name ends.
    pub name: &'static str,
    /// Programs that it needs.
    pub needs: &'static [&'static str],
    /// What runs it, from the workspace's directory; `TO` is the file.
    pub command: &'static str,
}

/// What is counted by callgrind.
const REQUESTS: &str = "requests";
/// Memory and speed, beside other servers.
const CONNECTIONS: &str = "connections";

/// Both of them.
pub const PARTS: [Part; 2] = [
    Part {
        name: REQUESTS,
        needs: &["python3", "valgrind"],
        command: "cargo build --release -p examples && python3 .ci/kv_instructions.py --markdown TO",
    },
    Part {
        name: CONNECTIONS,
        needs: &["redis-server", "nginx"],
        command: "cargo run --release -p examples --features peers --bin kv -- compare --alloc pool,std --peers \
                  --seconds 10 --spike 1g --html target/kv-compare.html --markdown TO",
    },
];

impl Part {
    /// Its file of a day.
    #[must_use]
    pub fn place(&self, date: &str) -> PathBuf {
        PathBuf::from(format!("{DIRECTORY}/{date}-{}.md", self.name))
    }

    /// The command that writes this file.
    #[must_use]
    pub fn writing(&self, to: &Path) -> String {
        self.command.replace("TO", &to.display().to_string())
    }

    /// A program that it needs and that is not there.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        self.needs.iter().copied().find(|program| !is_installed(program))
    }

    /// Runs it, and gives what it has written.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(&self) -> Result<String, String> {
        let named = |error: &dyn std::fmt::Display| format!("{} of kv: {error}", self.name);
        // Not where it belongs: it tells whether what is checked out was changed, as a new record would be.
        let to = std::env::temp_dir().join(format!("{}-{}.md", self.name, std::process::id()));
        let status = Command::new("sh").args(["-c", &self.writing(&to)]).status();
        let status = status.map_err(|error| named(&error))?;
        let text = fs::read_to_string(&to).map_err(|error| named(&error));
        let _ = fs::remove_file(&to);
        if status.success() { text } else { Err(named(&status)) }
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    places.into_iter().any(|directory| directory.join(program).is_file())
}

/// Lines of cells; the first one is the head.
type Cells = Vec<Vec<String>>;

/// What one of the programs has written: facts, then tables.
#[derive(Clone, Debug, Default)]
pub struct Report {
    text: String,
    tables: Vec<Cells>,
}

impl Report {
    /// Of Markdown.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let cells = |line: &str| {
            let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
            inner.split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect()
        };
        let blocks = text.split("\n\n").filter(|block| block.starts_with('|'));
        let table = |block: &str| {
            let lines = block.lines().filter(|line| !line.starts_with("|--"));
            lines.map(cells).collect()
        };
        Self { text: text.to_owned(), tables: blocks.map(table).collect() }
    }

    /// The last one of this name by its date.
    ///
    /// # Errors
    /// If there is none, seen from the workspace's directory.
    pub fn latest(name: &str) -> Result<Self, String> {
        let error = |error: &dyn std::fmt::Display| format!("{DIRECTORY}: {error}");
        let entries = fs::read_dir(DIRECTORY).map_err(|e| error(&e))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let end = format!("-{name}.md");
        let last = paths.filter(|path| path.to_string_lossy().ends_with(&end)).max();
        let last = last.ok_or_else(|| error(&format!("there is no {name}")))?;
        fs::read_to_string(last).map(|text| Self::new(&text)).map_err(|e| error(&e))
    }

    /// All of it, or its facts and the first tables.
    #[must_use]
    pub fn in_markdown(&self, tables: Option<usize>) -> String {
        let mut left = tables.unwrap_or(usize::MAX);
        let blocks = self.text.split("\n\n").take_while(|block| {
            let wanted = left > 0;
            left -= usize::from(wanted && block.starts_with('|'));
            wanted
        });
        blocks.collect::<Vec<_>>().join("\n\n")
    }

    /// The number under a head in the line that begins with these cells.
    fn number(&self, line: &[&str], head: &str) -> Option<f64> {
        self.tables.iter().find_map(|table| {
            let (heads, lines) = table.split_first()?;
            let column = heads.iter().position(|cell| cell == head)?;
            let begins = |cells: &&Vec<String>| cells.iter().zip(line).all(|(a, b)| a == b);
            number(lines.iter().find(begins)?.get(column)?)
        })
    }
}

/// At the front of a cell, with the letter of its unit if that is one of bytes.
fn number(cell: &str) -> Option<f64> {
    let end = cell.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(cell.len());
    let (digits, unit) = cell.split_at(end);
    let shift = ["K", "M", "G"].iter().position(|letter| unit.starts_with(letter));
    let unit = shift.map_or(1, |place| 1_u64 << (10 * (place + 1)));
    Some(digits.parse::<f64>().ok()? * unit as f64)
}

/// Instructions over those of `--alloc std`: what is asked, at which depth of pipeline, and the limit.
const INSTRUCTIONS: [(&str, &str, &str, f64); 4] = [
    ("SET", "SET, 64 bytes over 64 bytes", "16", 0.85),
    ("GET", "GET, 64 bytes", "16", 0.85),
    ("SET", "SET, 64 bytes over 64 bytes", "1", 1.0),
    ("GET", "GET, 64 bytes", "1", 1.0),
];

/// Bytes of a connection: the table's head and the limit.
const EACH: [(&str, f64); 2] = [("each, idle", 256.0), ("each, after a request", 256.0)];

/// Processor time over that of redis, by depth of pipeline.
const PROCESSOR: [(&str, f64); 2] = [("16", 0.70), ("1", 0.95)];

const OURS: &str = "kv pool";
const REDIS: &str = "redis";

/// What both have written last.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Instructions.
    pub requests: Report,
    /// Memory and speed.
    pub connections: Report,
}

impl Server {
    /// From the workspace's directory.
    ///
    /// # Errors
    /// If there is none.
    pub fn latest() -> Result<Self, String> {
        let (requests, connections) = (Report::latest(REQUESTS)?, Report::latest(CONNECTIONS)?);
        Ok(Self { requests, connections })
    }

    /// All gates, judged; what no table has is unknown.
    #[must_use]
    pub fn gates(&self) -> Vec<Outcome> {
        let mut gates = Vec::new();
        for (asked, line, pipeline, limit) in INSTRUCTIONS {
            let of = |head| self.requests.number(&[line, pipeline], head);
            let value = ratio(of("--alloc pool"), of("--alloc std"));
            let name = format!("{asked}, pipeline {pipeline}");
            gates.push(outcome(name, "instructions / kv std", limit, value, true));
        }
        let memory = |head| self.connections.number(&[OURS], head);
        for (head, limit) in EACH {
            let name = "connections".to_owned();
            gates.push(outcome(name, &format!("bytes, {head}"), limit, memory(head), true));
        }
        let left = ratio(memory("after all have left"), memory("process before"));
        let name = "connections that have left".to_owned();
        gates.push(outcome(name, "memory / before", 1.1, left, true));
        let spike = ratio(memory("when most are deleted"), memory("kept"));
        let name = "values, most of them deleted".to_owned();
        gates.push(outcome(name, "memory / kept", 1.3, spike, true));
        gates.extend(PROCESSOR.iter().flat_map(|(pipeline, limit)| self.speed(pipeline, *limit)));
        gates
    }

    /// Against redis, at a depth of pipeline; times, which vary.
    fn speed(&self, pipeline: &str, limit: f64) -> [Outcome; 4] {
        let of = |who, head| self.connections.number(&[who, pipeline], head);
        let over = |head| ratio(of(OURS, head), of(REDIS, head));
        let name = || format!("SET and GET, pipeline {pipeline}");
        let a_second = ratio(of(REDIS, "requests/s"), of(OURS, "requests/s"));
        [
            outcome(name(), "processor time / redis", limit, over("server us"), false),
            outcome(name(), "redis' requests a second / ours", 1.0, a_second, false),
            outcome(name(), "p50 / redis", 1.0, over("p50 us"), false),
            outcome(name(), "p99 / redis", 1.0, over("p99 us"), false),
        ]
    }
}

fn ratio(value: Option<f64>, of: Option<f64>) -> Option<f64> {
    value.zip(of).filter(|(_, of)| *of > 0.0).map(|(value, of)| value / of)
}

fn outcome(
    workload: String,
    measure: &str,
    limit: f64,
    value: Option<f64>,
    binding: bool,
) -> Outcome {
    let verdict = match value {
        None => Verdict::Unknown,
        Some(value) if value <= limit => Verdict::Met,
        Some(_) => Verdict::Missed,
    };
    let (engine, measure) = (OURS.to_owned(), measure.to_owned());
    Outcome { workload, engine, measure, limit, value, verdict, binding }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "\
2026-01-01, 2 × X.

| requests | pipeline | `--alloc std` | `--alloc pool` | |
|---|--:|--:|--:|--:|
| `SET`, 64 bytes over 64 bytes | 16 | 1000.0 | 850.0 | −15.0 % |
| `GET`, 64 bytes | 16 | 1000.0 | 850.1 | −15.0 % |

| | each, idle | each, after a request | process before | after all have left |
|---|---|---|---|---|
| kv pool | 257 B | 25 B | 1.00M | 512.00K |

| | pipeline | requests/s | p50 us | p99 us | server us |
|---|--:|--:|--:|--:|--:|
| kv pool | 1 | 200 | 5.0 | 7.5 | 2.0 |
| redis | 1 | 100 | 5.0 | 5.0 | 2.0 |
| kv pool | 16 | 200 | 5.0 | 7.5 | 1.0 |
| redis | 16 | 100 | 5.0 | 5.0 | 2.0 |
";

    #[test]
    fn gates_are_judged_from_the_tables() {
        let report = Report::new(WRITTEN);
        let server = Server { requests: report.clone(), connections: report };
        let gates = server.gates();
        let of = |workload: &str, measure: &str| {
            let is =
                |gate: &&Outcome| gate.workload == workload && gate.measure.starts_with(measure);
            gates.iter().find(is).map(|gate| (gate.value, gate.verdict)).unwrap()
        };
        use Verdict::{Met, Missed, Unknown};
        assert_eq!(of("SET, pipeline 16", "instructions"), (Some(0.85), Met));
        assert_eq!(of("GET, pipeline 16", "instructions").1, Missed);
        assert_eq!(of("SET, pipeline 1", "instructions"), (None, Unknown));
        assert_eq!(of("connections", "bytes, each, idle"), (Some(257.0), Missed));
        assert_eq!(of("connections", "bytes, each, after"), (Some(25.0), Met));
        assert_eq!(of("connections that have left", "memory"), (Some(0.5), Met));
        assert_eq!(of("values, most of them deleted", "memory"), (None, Unknown));
        assert_eq!(of("SET and GET, pipeline 16", "processor"), (Some(0.5), Met));
        assert_eq!(of("SET and GET, pipeline 1", "redis'"), (Some(0.5), Met));
        assert_eq!(of("SET and GET, pipeline 1", "p50"), (Some(1.0), Met));
        assert_eq!(of("SET and GET, pipeline 1", "p99"), (Some(1.5), Missed));
    }

    #[test]
    fn facts_come_with_as_many_tables_as_are_wanted() {
        let report = Report::new(WRITTEN);
        assert_eq!(report.in_markdown(None), WRITTEN);
        let one = report.in_markdown(Some(1));
        assert!(one.starts_with("2026-01-01") && one.ends_with("−15.0 % |"), "{one}");
        assert!(report.in_markdown(Some(2)).ends_with("512.00K |"));
    }

    #[test]
    fn numbers_have_units() {
        assert_eq!(number("222 B"), Some(222.0));
        assert_eq!(number("472.00K"), Some(472.0 * 1024.0));
        assert_eq!(number("2.50M"), Some(2.5 * 1024.0 * 1024.0));
        assert_eq!((number("-"), number("")), (None, None));
    }

    #[test]
    fn a_part_gives_what_it_writes_or_says_how_it_ended() {
        let part = |name, command| Part { name, needs: &[], command };
        assert_eq!(part("writes", "echo x >TO").run(), Ok("x\n".to_owned()));
        let error = part("fails", "echo x >TO; exit 3").run().unwrap_err();
        assert!(error.starts_with("fails of kv: exit status: 3"), "{error}");
        assert!(part("nothing", "true").run().is_err());
    }

    #[test]
    fn a_part_that_lacks_a_program_names_it() {
        let part = Part { needs: &["sh", "no-such-program"], ..PARTS[0] };
        assert_eq!(part.missing(), Some("no-such-program"));
        assert!(part.writing(Path::new("a/b.md")).ends_with("--markdown a/b.md"));
        assert_eq!(part.place("2026-01-02"), Path::new("benches/record/2026-01-02-requests.md"));
    }
}
