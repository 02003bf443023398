//! `ps`: threads.

use alloc::string::String;
use core::fmt::Write;

use protocol::record::{Record, TEXT_MAX_BYTES, clip};
use runqueue::CpuMask;
use shell::table::Table;

use super::output::{Millis, print_table};
use crate::arch::tsc;
use crate::console::records;
use crate::sched::snapshot::{self, ThreadReport};

/// Lists all threads, as a table and as records.
pub fn list() {
    let t_ns = tsc::now_ns();
    let mut table = Table::new([
        "tid>",
        "name",
        "state",
        "cpu>",
        "nice>",
        "may run on",
        "group",
        "cpu ms>",
        "waited ms>",
        "switches>",
        "moves>",
    ]);
    for thread in snapshot::threads() {
        let usage = thread.usage;
        let nice = thread.nice.map(|nice| alloc::format!("{}", nice.get()));
        table.row([
            &thread.tid(),
            &thread.name(),
            &thread.state,
            &thread.cpu,
            &nice.as_deref().unwrap_or("idle"),
            &cpus(&thread.allowed),
            &thread.group().name(),
            &Millis(usage.cpu_time_ns),
            &Millis(usage.run_delay_ns),
            &usage.switches,
            &usage.migrations,
        ]);
        emit(t_ns, &thread);
    }
    print_table(&table);
}

fn emit(t_ns: u64, thread: &ThreadReport) {
    let state = alloc::format!("{}", thread.state);
    records::emit(&Record::Thread {
        t_ns,
        tid: thread.tid().get(),
        name: clip(thread.name(), TEXT_MAX_BYTES),
        state: &state,
        cpu: thread.cpu as u32,
        nice: thread.nice.map(|nice| nice.get().into()),
        group: clip(thread.group().name(), TEXT_MAX_BYTES),
        cpu_ns: thread.usage.cpu_time_ns,
        waited_ns: thread.usage.run_delay_ns,
        switches: thread.usage.switches,
        migrations: thread.usage.migrations,
    });
}

/// Formats a set of CPUs: `all`, `0-3,7`.
fn cpus(set: &CpuMask) -> String {
    if *set == CpuMask::ALL {
        return "all".into();
    }
    let mut text = String::new();
    let mut cpus = set.iter().peekable();
    while let Some(first) = cpus.next() {
        let mut last = first;
        while let Some(next) = cpus.next_if_eq(&(last + 1)) {
            last = next;
        }
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = match last {
            last if last == first => write!(text, "{comma}{first}"),
            last => write!(text, "{comma}{first}-{last}"),
        };
    }
    text
}
