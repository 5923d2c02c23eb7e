//! A case: one workload on one engine.

use crate::engine::Engine;
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::time::Duration;

/// A workload on an engine, set up and warm: does the given number of operations, asserts what comes
/// of them, and returns the time that the operations alone took.
pub type Prepared = Box<dyn FnMut(u64) -> Duration>;

/// How long single operations take, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// Half of them take less.
    pub median: u64,
    /// One of a hundred takes more.
    pub p99: u64,
    /// One of a thousand takes more.
    pub p999: u64,
}

impl Tail {
    /// Of so many, at least one.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.map(|time| time.as_nanos() as u64).collect();
        times.sort_unstable();
        let at = |thousandth: usize| times[(times.len() - 1) * thousandth / 1000];
        Self { median: at(500), p99: at(990), p999: at(999) }
    }
}

/// How many bytes there are after so many steps.
pub type Point = (u64, u64);

/// What a case says that is neither a count nor a time of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Bytes held at the end.
    pub bytes: Option<u64>,
    /// How many hold them, if that is told.
    #[serde(default)]
    pub held_by: Option<u64>,
    /// How long single operations take.
    pub tail: Option<Tail>,
    /// Bytes over time.
    pub memory: Vec<Point>,
}

/// Bytes, and how many hold them, if that is known.
pub type Held = (u64, Option<u64>);

/// One workload on one engine.
pub struct Case {
    /// The crate whose gates it belongs to.
    pub family: &'static str,
    /// The workload's name.
    pub workload: &'static str,
    /// The engine's name.
    pub engine: &'static str,
    /// Whether the engine is one of ours.
    pub ours: bool,
    /// Whether it is the least that the work can cost.
    pub floor: bool,
    /// Whether an instruction count says anything: not where the work is the system's, and not
    /// with threads, which valgrind runs one at a time.
    pub counted: bool,
    /// Operations of one sample under callgrind.
    pub sample: u64,
    /// Operations of a turn when times are taken are a multiple of this.
    pub least: u64,
    /// Of which function alone instructions are counted, by a part of its name; all of them if `None`.
    pub within: Option<&'static str>,
    held: Option<Box<dyn Fn() -> Held>>,
    tail: Option<Box<dyn Fn() -> Tail>>,
    memory: Option<Box<dyn Fn() -> Vec<Point>>>,
    prepare: Box<dyn Fn() -> Prepared>,
}

impl Case {
    /// A case of engine `E`; `prepare` sets it up.
    pub fn new<E: Engine>(
        family: &'static str,
        workload: &'static str,
        prepare: impl Fn() -> Prepared + 'static,
    ) -> Self {
        let case = Self::plain(family, workload, E::NAME, E::OURS, prepare);
        Self { counted: E::COUNTED, floor: E::FLOOR, ..case }
    }

    /// A case of something that is no [`Engine`].
    pub fn plain(
        family: &'static str,
        workload: &'static str,
        engine: &'static str,
        ours: bool,
        prepare: impl Fn() -> Prepared + 'static,
    ) -> Self {
        let prepare = Box::new(prepare);
        Self {
            family,
            workload,
            engine,
            ours,
            floor: false,
            counted: true,
            sample: 4096,
            least: 1,
            within: None,
            held: None,
            tail: None,
            memory: None,
            prepare,
        }
    }

    /// The same, the least that the work can cost.
    #[must_use]
    pub fn floor(self) -> Self {
        Self { floor: true, ..self }
    }

    /// The same, never counted.
    #[must_use]
    pub fn uncounted(self) -> Self {
        Self { counted: false, ..self }
    }

    /// The same, with `sample` operations under callgrind.
    #[must_use]
    pub fn sample(self, sample: u64) -> Self {
        Self { sample, ..self }
    }

    /// The same, with so many operations a turn, or twice as many, and so on: where fewer are another
    /// thing.
    #[must_use]
    pub fn at_least(self, least: u64) -> Self {
        Self { least, ..self }
    }

    /// The same, with instructions counted in one function alone, which is never inlined and whose name
    /// contains this.
    #[must_use]
    pub fn only_within(self, function: &'static str) -> Self {
        Self { within: Some(function), ..self }
    }

    /// The same, with a number of bytes to be told: what `held` says that the engine holds.
    #[must_use]
    pub fn holding(self, held: impl Fn() -> u64 + 'static) -> Self {
        self.held_by(move || (held(), None))
    }

    /// The same, with how many hold these bytes.
    #[must_use]
    pub fn held_by(self, held: impl Fn() -> Held + 'static) -> Self {
        Self { held: Some(Box::new(held)), ..self }
    }

    /// The same, with times of single operations to be told.
    #[must_use]
    pub fn with_tail(self, tail: impl Fn() -> Tail + 'static) -> Self {
        Self { tail: Some(Box::new(tail)), ..self }
    }

    /// The same, with its memory to be looked at again and again.
    #[must_use]
    pub fn remembering(self, memory: impl Fn() -> Vec<Point> + 'static) -> Self {
        Self { memory: Some(Box::new(memory)), ..self }
    }

    /// What is to be told besides counts and times, if anything is.
    #[must_use]
    pub fn told(&self) -> Told {
        let held = self.held.as_ref().map(|held| held());
        Told {
            bytes: held.map(|(bytes, _)| bytes),
            held_by: held.and_then(|(_, by)| by),
            tail: self.tail.as_ref().map(|tail| tail()),
            memory: Vec::new(),
        }
    }

    /// How its memory grows and shrinks; nothing if that is of no interest.
    #[must_use]
    pub fn memory(&self) -> Told {
        let memory = self.memory.as_ref().map_or_else(Vec::new, |memory| memory());
        Told { memory, ..Told::default() }
    }

    /// Both, in processes of their own, where nobody has left any memory behind.
    ///
    /// # Errors
    /// If this program cannot be run, or says something unexpected.
    pub fn told_apart(&self) -> Result<Told, String> {
        let mut told = Told::default();
        if self.held.is_some() || self.tail.is_some() {
            told = self.apart("held")?;
        }
        if self.memory.is_some() {
            told.memory = self.apart("memory")?.memory;
        }
        Ok(told)
    }

    fn apart(&self, task: &str) -> Result<Told, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = Command::new(program).args([task, self.engine, self.workload]).output();
        let output = output.map_err(|error| error.to_string())?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let text = String::from_utf8_lossy(&output.stdout);
            let error = String::from_utf8_lossy(&output.stderr);
            format!("{} on {}: {}\n{text}{error}", self.workload, self.engine, output.status)
        })
    }

    /// Sets it up.
    #[must_use]
    pub fn prepare(&self) -> Prepared {
        (self.prepare)()
    }
}

/// The case of these names.
#[must_use]
pub fn find(workload: &str, engine: &str) -> Option<Case> {
    crate::cases().into_iter().find(|case| case.workload == workload && case.engine == engine)
}
