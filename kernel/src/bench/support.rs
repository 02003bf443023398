//! What all benchmarks use: threads on chosen CPUs, and one line for each result.

use alloc::vec::Vec;

use protocol::record::Record;

use crate::arch::{percpu, tsc};
use crate::console::records;
use crate::sched::SpawnError;

/// A benchmark: its name, `suite:name`, and its function, which reports its own results. An error ends the run.
pub(super) type Bench = (&'static str, fn() -> Result<(), &'static str>);

pub(super) const NO_THREAD: &str = "no memory for the threads";

/// Returns the error that a benchmark reports where a thread cannot be started.
pub(super) fn no_thread(_: SpawnError) -> &'static str {
    NO_THREAD
}

/// Reports a result: `value` of what `name` says, for `n` of what `of` names.
pub(super) fn report(name: &str, (n, of): (u64, &str), value: u64, unit: &str) {
    log::info!("{name:<36} {n:>7} {of:<16} {value:>12} {unit}");
    records::emit(&Record::Bench { t_ns: tsc::now_ns(), name, n, of, value, unit });
}

/// Returns the numbers of the online CPUs.
pub(super) fn online() -> Vec<usize> {
    percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index()).collect()
}

/// Returns the number of the last online CPU.
pub(super) fn last_cpu() -> usize {
    online().last().copied().unwrap_or(0)
}

/// Returns the median of `values`, or 0 if there are none.
pub(super) fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
