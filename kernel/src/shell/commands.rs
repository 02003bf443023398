//! Dispatches parsed commands to the functions that run them.

use shell::command::{ALL, Command, Spec, Usage};
use shell::table::Table;

use super::output::{Outcome, print_table};
use super::{cpus, huge, measure, memory, sysctl, threads, tracing};
use crate::console::print_line;

/// Runs `command`. The caller handles `poweroff`.
pub fn run(command: Command<'_>) -> Outcome {
    match command {
        Command::Help(spec) => help(spec),
        Command::Show(prefix) => return sysctl::show(prefix),
        Command::Set { name, value } => return sysctl::set(name, value),
        Command::Threads => threads::list(),
        Command::Cpus => cpus::list(),
        Command::Offline(cpu) => return cpus::offline(cpu),
        Command::Online(cpu) => return cpus::online(cpu),
        Command::Memory => memory::show(),
        Command::Huge => huge::list(),
        Command::Reserve(size, count) => return huge::reserve(size, count),
        Command::Release(size, count) => return huge::release(size, count),
        Command::Verify => return memory::verify(),
        Command::Timing(job) => return measure::timing(job),
        Command::Test(pattern) => return measure::test(pattern),
        Command::Bench(pattern) => return measure::bench(pattern),
        Command::Trace => tracing::show(),
        Command::TraceOn => return tracing::start(),
        Command::TraceOff => return tracing::stop(),
        Command::TraceDump => tracing::dump(),
        Command::Log(Some(level)) => return sysctl::set("log.level", level),
        Command::Log(None) => return sysctl::show("log.level"),
        Command::Uptime => cpus::uptime(),
        Command::PowerOff { .. } => {}
    }
    Ok(())
}

fn help(spec: Option<&Spec>) {
    let mut table = Table::new(["command", "does"]);
    for spec in ALL.iter().filter(|other| spec.is_none_or(|spec| spec.name == other.name)) {
        table.row([&Usage(spec), &spec.help]);
    }
    print_table(&table);
    if spec.is_none() {
        print_line(format_args!(
            "a line that ends with & runs in the background; tab completes, arrows bring lines back"
        ));
    }
}
