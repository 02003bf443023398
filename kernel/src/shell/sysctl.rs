//! `sysctl`: shows and changes the command line's parameters at run time.

use alloc::string::String;
use core::fmt;

use params::registry::{
    ALL, FAULT_ALLOC, FAULT_EVICT, FAULT_HELPER_SPAWN, FAULT_MAP, FAULT_WORKER_SPAWN, FILE_CACHE_PAGES,
    HUGE_1G, HUGE_2M, LOG_LEVEL, POOL_IDLE_MS, POOL_KEEP_WORKERS, TRACE_BUFFER_EVENTS, TRACE_EVENTS,
    ZERO_POOL_PAGES, is_at_boot_only,
};
use params::{Param, cmdline};
use shell::table::Table;

use super::huge;
use super::output::{Outcome, print_table};
use crate::console::{self, print_line};
use crate::debug::trace;
use crate::jobs::{evict_cache, huge_file, platform};
use crate::mm::huge::HugeSize;
use crate::mm::{pages, zero_pool};
use crate::sched::pool;

/// Shows the parameter called `prefix`, or all parameters whose names begin with it.
pub fn show(prefix: &str) -> Outcome {
    if let Some(param) = cmdline::find(prefix) {
        let when = if is_at_boot_only(param) { "; read at boot only" } else { "" };
        print_line(format_args!("{}={}", param.name(), text(|out| param.write_value(out))));
        print_line(format_args!("  {}", param.help()));
        print_line(format_args!(
            "  default {}; allowed {}{when}",
            text(|out| param.write_default(out)),
            text(|out| param.write_allowed(out))
        ));
        return Ok(());
    }
    let mut table = Table::new(["name", "value", "allowed", ""]);
    for param in ALL.iter().filter(|param| param.name().starts_with(prefix)) {
        let value = text(|out| param.write_value(out));
        let allowed = text(|out| param.write_allowed(out));
        let when = if is_at_boot_only(*param) { "at boot only" } else { "" };
        table.row([&param.name(), &value, &allowed, &when]);
    }
    if table.is_empty() {
        return Err(alloc::format!("{}; `sysctl` alone lists all", cmdline::unknown(prefix)));
    }
    print_table(&table);
    Ok(())
}

/// Changes a parameter, applies the change, and shows the new value.
pub fn set(name: &str, value: &str) -> Outcome {
    change(name, value)?;
    let param = cmdline::find(name).expect("a changed parameter exists");
    print_line(format_args!("{name}={}", text(|out| param.write_value(out))));
    Ok(())
}

/// Changes a parameter, and applies the change.
pub fn change(name: &str, value: &str) -> Outcome {
    let before = cmdline::find(name).map(|param| text(|out| param.write_value(out))).unwrap_or_default();
    cmdline::change(name, value).map_err(|error| alloc::format!("{error}"))?;
    match EFFECTS.iter().find(|effect| effect.param.name() == name).map(|effect| effect.apply) {
        Some(Apply::Call(apply)) => {
            apply();
            Ok(())
        }
        Some(Apply::Try(apply)) => apply(&before),
        None => Ok(()),
    }
}

/// How the change of a parameter is applied.
struct Effect {
    param: &'static dyn Param,
    apply: Apply,
}

#[derive(Clone, Copy)]
enum Apply {
    Call(fn()),
    /// May fail; gets the value from before.
    Try(fn(&str) -> Outcome),
}

/// What applies the changes of `params::registry::APPLIED_WHEN_CHANGED`.
static EFFECTS: &[Effect] = &[
    Effect::new(&POOL_KEEP_WORKERS, Apply::Call(pool::update_limits)),
    Effect::new(&POOL_IDLE_MS, Apply::Call(pool::update_limits)),
    Effect::new(&LOG_LEVEL, Apply::Call(console::set_level_from_parameters)),
    Effect::new(&HUGE_2M, Apply::Try(|_| huge::resize(HugeSize::Size2M, HUGE_2M.get()))),
    Effect::new(&HUGE_1G, Apply::Try(|_| huge::resize(HugeSize::Size1G, HUGE_1G.get()))),
    Effect::new(&ZERO_POOL_PAGES, Apply::Call(zero_pool::trim)),
    Effect::new(&FILE_CACHE_PAGES, Apply::Call(evict_cache::trim)),
    Effect::new(&TRACE_EVENTS, Apply::Call(trace::update_classes)),
    Effect::new(&TRACE_BUFFER_EVENTS, Apply::Try(keep_if_there_are_rings)),
    // What is counted is counted from the change on.
    Effect::new(&FAULT_HELPER_SPAWN, Apply::Call(platform::restart_fault_count)),
    Effect::new(&FAULT_WORKER_SPAWN, Apply::Call(pool::restart_fault_count)),
    Effect::new(&FAULT_ALLOC, Apply::Call(pages::restart_fault_count)),
    Effect::new(&FAULT_MAP, Apply::Call(huge_file::restart_fault_count)),
    Effect::new(&FAULT_EVICT, Apply::Call(evict_cache::restart_fault_count)),
];

impl Effect {
    const fn new(param: &'static dyn Param, apply: Apply) -> Self {
        Self { param, apply }
    }
}

/// Returns the names of the parameters whose change is applied.
pub fn applied() -> impl Iterator<Item = &'static str> {
    EFFECTS.iter().map(|effect| effect.param.name())
}

/// Sets the size of the trace buffers back to `before`, if there are buffers: they stay as they are.
fn keep_if_there_are_rings(before: &str) -> Outcome {
    if !trace::has_rings() {
        return Ok(());
    }
    let name = TRACE_BUFFER_EVENTS.name();
    TRACE_BUFFER_EVENTS.set(before).expect("the value from before is allowed");
    Err(alloc::format!("parameter {name} cannot change once tracing was on; it stays {before}"))
}

/// Returns the text that `write` writes.
fn text(write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text);
    text
}
