//! `trace`: controls tracing.

use params::TEXT_CAPACITY;
use params::registry::TRACE_EVENTS;
use shell::table::Table;

use super::output::{Outcome, print_table};
use crate::arch::{percpu, tracepoint};
use crate::console::print_line;
use crate::debug::trace::{self, DumpStats};

/// Shows whether tracing is on, and the number of events of each CPU.
pub fn show() {
    let mut buffer = [0; TEXT_CAPACITY];
    print_line(format_args!(
        "tracing is {}; trace.events={}",
        if tracepoint::is_any_on() { "on" } else { "off" },
        TRACE_EVENTS.get(&mut buffer)
    ));
    let mut table = Table::new(["cpu>", "events so far>"]);
    for cpu in percpu::all() {
        table.row([&cpu.id(), &tracepoint::recorded(cpu.id().index())]);
    }
    print_table(&table);
}

/// Switches tracing on.
pub fn start() -> Outcome {
    trace::start().map_err(|error| alloc::format!("{error}"))?;
    show();
    Ok(())
}

/// Switches tracing off.
pub fn stop() -> Outcome {
    match trace::stop() {
        true => Ok(()),
        false => Err("tracing is off already".into()),
    }
}

/// Writes the recorded events to the record port.
pub fn dump() {
    let DumpStats { events, lost } = trace::dump();
    print_line(format_args!("{events} events written to the record port, {lost} were overwritten before"));
}
