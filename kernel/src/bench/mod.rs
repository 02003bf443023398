//! Measurements inside the kernel: `run=bench[:PATTERN]`. Each result is one log line and one `bench` record.

mod block_wake;
pub mod sched;
mod share;
mod support;
pub mod threads;

use protocol::ktest::matches;

use crate::console::{records, screen};

use support::Bench;

/// Returns all benchmarks.
fn all() -> impl Iterator<Item = &'static Bench> {
    sched::ALL.iter().chain(share::ALL).chain(block_wake::ALL)
}

/// Returns the names of all benchmarks.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|(name, _)| *name)
}

/// Runs every benchmark that matches `pattern`. Returns false if none matches, or if one could not run or found an error.
pub fn run(pattern: &str) -> bool {
    let mut count = 0;
    let mut failed = 0;
    let of = all().filter(|(name, _)| matches(pattern, name)).count();
    for (name, bench) in all().filter(|(name, _)| matches(pattern, name)) {
        records::progress(name, count, of);
        count += 1;
        let _hold = screen::show_then_hold();
        if let Err(why) = bench() {
            failed += 1;
            log::error!("bench {name}: {why}");
        }
    }
    count > 0 && failed == 0
}
