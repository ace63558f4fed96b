//! One line for each test, and the counts.

use std::{process::ExitCode, time::Duration};

use crate::report::{bad, dim, good};

/// How many of each.
#[derive(Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
}

impl Tally {
    /// `count` tests passed; `name` says which.
    pub(crate) fn passed(&mut self, name: &str, count: usize, time: Duration) {
        self.passed += count;
        let count = if count == 1 { String::new() } else { format!(" {count} tests") };
        println!("{} {name}{} {}", good("ok"), count, dim(&format!("({:.1} s)", time.as_secs_f32())));
    }

    /// A test failed; `output` says how.
    pub(crate) fn failed(&mut self, name: &str, output: &str) {
        self.failed.push(name.to_owned());
        println!("{} {name}", bad("FAILED"));
        for line in output.lines() {
            println!("    {line}");
        }
    }

    /// Tests could not be run; `reason` says what is missing.
    pub(crate) fn skipped(&mut self, name: &str, count: usize, reason: &str) {
        self.skipped += count;
        println!("skipped {name}: {reason}");
    }

    /// Whether there was any test.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed + self.failed.len() + self.skipped == 0
    }

    /// Prints the counts, and gives the exit code that they mean.
    pub(crate) fn report(&self) -> ExitCode {
        println!();
        for name in &self.failed {
            println!("{} {name}", bad("FAILED"));
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped);
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
