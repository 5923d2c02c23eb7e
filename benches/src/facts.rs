//! When and on what something is measured: what each record begins with. Of two packages: `kv compare` takes this
//! file as a module of its own, as neither of them can depend on the other. `.ci/kv_instructions.py` says the same.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::process::Command;

/// The day, the machine, the tools and the source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Year, month, day.
    pub date: String,
    /// The processor, and how many of it.
    pub machine: String,
    /// The kernel's release.
    pub kernel: String,
    /// The compiler's version.
    pub rustc: String,
    /// What was checked out; `+` if it was changed.
    pub commit: String,
}

impl Facts {
    /// Of this machine.
    #[must_use]
    pub fn now() -> Self {
        let line = |program, args: &[&str]| {
            first_line(program, args).unwrap_or_else(|| "unknown".to_owned())
        };
        Self {
            date: line("date", &["-u", "+%Y-%m-%d"]),
            machine: processor(),
            kernel: line("uname", &["-sr"]),
            rustc: line("rustc", &["--version"]),
            commit: line("git", &["describe", "--always", "--dirty=+", "--exclude=*"]),
        }
    }
}

impl Display for Facts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { date, machine, kernel, rustc, commit } = self;
        write!(f, "{date}, {machine}, {kernel}, {rustc}, commit {commit}")
    }
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

/// How many there are, and of which kind: names alone are not enough, some cover several generations.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name| {
        let value = |line: &'_ str| Some(line.split_once(':')?.1.trim().to_owned());
        text.lines()
            .find(|line| line.split(':').next().map(str::trim) == Some(name))
            .and_then(value)
    };
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{count} × {name} (family {family}, model {model})"),
        _ => format!("{count} × {name}"),
    }
}
