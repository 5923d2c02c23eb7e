//! A case: one workload on one engine.

use crate::engine::Engine;
use std::process::Command;
use std::time::Duration;

/// A workload on an engine, set up and warm: does the given number of operations, asserts what comes
/// of them, and returns the time that the operations alone took.
pub type Prepared = Box<dyn FnMut(u64) -> Duration>;

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
    /// Whether an instruction count says anything: not where the work is the system's, and not
    /// with threads, which valgrind runs one at a time.
    pub counted: bool,
    /// Operations of one sample under callgrind.
    pub sample: u64,
    /// Operations of a turn when times are taken are a multiple of this.
    pub least: u64,
    held: Option<Box<dyn Fn() -> u64>>,
    prepare: Box<dyn Fn() -> Prepared>,
}

impl Case {
    /// A case of engine `E`; `prepare` sets it up.
    pub fn new<E: Engine>(
        family: &'static str,
        workload: &'static str,
        prepare: impl Fn() -> Prepared + 'static,
    ) -> Self {
        let prepare = Box::new(prepare);
        Self {
            family,
            workload,
            engine: E::NAME,
            ours: E::OURS,
            counted: E::COUNTED,
            sample: 4096,
            least: 1,
            held: None,
            prepare,
        }
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

    /// The same, by another workload's name.
    #[must_use]
    pub fn named(self, workload: &'static str) -> Self {
        Self { workload, ..self }
    }

    /// The same, with a number of bytes to be told: what `held` says that the engine holds.
    #[must_use]
    pub fn holding(self, held: impl Fn() -> u64 + 'static) -> Self {
        Self { held: Some(Box::new(held)), ..self }
    }

    /// Bytes that the engine holds at the end of the workload, if that is of interest there.
    #[must_use]
    pub fn held(&self) -> Option<u64> {
        self.held.as_ref().map(|held| held())
    }

    /// The same in a process of its own, where nobody has left any memory behind.
    ///
    /// # Errors
    /// If this program cannot be run, or says something unexpected.
    pub fn held_apart(&self) -> Result<Option<u64>, String> {
        if self.held.is_none() {
            return Ok(None);
        }
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = Command::new(program).args(["held", self.engine, self.workload]).output();
        let output = output.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let bytes = text.trim().parse();
        bytes.map(Some).map_err(|_| {
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
