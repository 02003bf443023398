//! `sysctl`: shows and changes the command line's parameters at run time.

use alloc::string::String;
use core::fmt;

use params::registry::{
    ALL, FAULT_ALLOC, FAULT_MAP, HUGE_1G, HUGE_2M, LOG_LEVEL, POOL_IDLE_MS, POOL_KEEP_WORKERS,
    ZERO_POOL_PAGES, is_at_boot_only,
};
use params::{Param, cmdline};
use shell::table::Table;

use super::huge;
use super::output::{Outcome, print_table};
use crate::console::{self, print_line};
use crate::jobs::huge_file;
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

/// Changes a parameter, and applies the change.
pub fn set(name: &str, value: &str) -> Outcome {
    cmdline::change(name, value).map_err(|error| alloc::format!("{error}"))?;
    let is = |param: &dyn Param| param.name() == name;
    if is(&HUGE_2M) {
        huge::resize(HugeSize::Size2M, HUGE_2M.get())?;
    } else if is(&HUGE_1G) {
        huge::resize(HugeSize::Size1G, HUGE_1G.get())?;
    } else if is(&ZERO_POOL_PAGES) {
        zero_pool::trim();
    } else if is(&POOL_KEEP_WORKERS) || is(&POOL_IDLE_MS) {
        pool::update_limits();
    } else if is(&LOG_LEVEL) {
        console::set_level_from_parameters();
    } else if is(&FAULT_ALLOC) {
        // Calls count from now on, not from the end of the boot.
        pages::restart_fault_count();
    } else if is(&FAULT_MAP) {
        huge_file::restart_fault_count();
    }
    let param = cmdline::find(name).expect("a changed parameter exists");
    print_line(format_args!("{name}={}", text(|out| param.write_value(out))));
    Ok(())
}

/// Returns the text that `write` writes.
fn text(write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text);
    text
}
