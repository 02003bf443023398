//! Measurements inside the kernel: `run=bench[:PATTERN]`. Each result is one
//! line of log and one `bench` record.

pub mod sched;

use protocol::ktest::matches;
use protocol::record::Record;

use crate::arch::tsc;
use crate::console::records;

/// A benchmark: `suite:name`, and what runs it. It says by itself what it found; an error ends the run.
type Bench = (&'static str, fn() -> Result<(), &'static str>);

/// The names of all benchmarks.
pub fn names() -> impl Iterator<Item = &'static str> {
    sched::ALL.iter().map(|(name, _)| *name)
}

/// Runs every benchmark that `pattern` chooses; false if one could not be run or found something wrong, or none was chosen.
pub fn run(pattern: &str) -> bool {
    let mut count = 0;
    let mut failed = 0;
    for (name, bench) in sched::ALL.iter().filter(|(name, _)| matches(pattern, name)) {
        count += 1;
        if let Err(why) = bench() {
            failed += 1;
            log::error!("bench {name}: {why}");
        }
    }
    count > 0 && failed == 0
}

/// Tells a result: `value` of what `name` says, for `n` of what `of` names.
fn tell(name: &str, (n, of): (u64, &str), value: u64, unit: &str) {
    log::info!("{name:<36} {n:>7} {of:<16} {value:>12} {unit}");
    records::emit(&Record::Bench { t_ns: tsc::now_ns(), name, n, of, value, unit });
}
