//! How far a long run is: a bar on a terminal, a line for each workload elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    last: String,
}

impl Progress {
    /// None of them is done.
    ///
    /// # Panics
    /// Never: the template is right.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64);
        let template = "{elapsed_precise} [{wide_bar}] {pos}/{len} (about {eta} more) {msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("it is a template"));
        Self { bar, last: String::new() }
    }

    /// What is being done now.
    pub fn now(&mut self, what: &str) {
        if self.bar.is_hidden() && self.last != what {
            eprintln!("{what}");
        }
        what.clone_into(&mut self.last);
        self.bar.set_message(what.to_owned());
    }

    /// One step is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
