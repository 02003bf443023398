//! The shell on the first serial port: `run=shell`.
//!
//! * [`input`]: reads bytes from the port.
//! * [`terminal`]: edits lines.
//! * [`commands`]: runs commands; the larger ones have modules.
//!
//! The crate `shell` parses lines; it knows no hardware. A command that fails prints one line and writes a record, and
//! the shell goes on. Only `poweroff` ends the machine.

mod commands;
mod cpus;
mod huge;
pub mod input;
mod measure;
mod memory;
mod output;
pub mod sysctl;
mod terminal;
mod threads;
mod tracing;

use alloc::string::String;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use protocol::record::{Record, TEXT_MAX_BYTES, clip};
use shell::command::{Command, Parsed, parse};

use crate::arch::tsc;
use crate::console::{print_line, records};
use crate::{power, sched};
use output::Outcome;
use terminal::{Terminal, Typed};

/// Number of the last command in the background.
static LAST_IN_BACKGROUND: AtomicU32 = AtomicU32::new(0);

/// Reads commands and runs them until `poweroff`, the end of input or the power button; returns the machine's verdict.
pub fn run() -> Result<(), &'static str> {
    if !input::start() {
        return Err("the shell needs the first serial port, and there is none");
    }
    power::end_run_when_pressed();
    print_line(format_args!("`help` lists the commands; `poweroff` or ^D on an empty line ends the machine"));
    let mut terminal = Terminal::new();
    loop {
        match terminal.read() {
            Typed::Line(line) => match parse(&line) {
                Ok(None) => {}
                Ok(Some(Parsed { command: Command::PowerOff { fail }, .. })) => {
                    report(&line, &Ok(()));
                    return if fail { Err("poweroff fail") } else { Ok(()) };
                }
                Ok(Some(Parsed { in_background: true, .. })) => report(&line, &start_in_background(&line)),
                Ok(Some(Parsed { command, .. })) => report(&line, &commands::run(command)),
                Err(problem) => report(&line, &Err(alloc::format!("{problem}"))),
            },
            Typed::Refused(why) => report("", &Err(why)),
            Typed::End | Typed::PowerButton => return Ok(()),
        }
    }
}

/// Prints a failure, and writes a record of success or failure.
fn report(line: &str, outcome: &Outcome) {
    let message = outcome.as_ref().err().map_or("", |message| message);
    if !message.is_empty() {
        print_line(format_args!("error: {message}"));
    }
    records::emit(&Record::Command {
        t_ns: tsc::now_ns(),
        line,
        ok: outcome.is_ok(),
        message: clip(message, TEXT_MAX_BYTES),
    });
}

/// Runs a line on a new thread, which reports the result.
fn start_in_background(line: &str) -> Outcome {
    let number = LAST_IN_BACKGROUND.fetch_add(1, SeqCst) + 1;
    let name = alloc::format!("shell/{number}");
    let line = String::from(line.trim_end_matches('&').trim());
    print_line(format_args!("[{number}] {line}"));
    let work = move || {
        // The line parsed before without error.
        let Ok(Some(Parsed { command, .. })) = parse(&line) else { return };
        let outcome = commands::run(command);
        print_line(format_args!("[{number}] {}: {line}", if outcome.is_ok() { "done" } else { "failed" }));
        report(&line, &outcome);
    };
    sched::spawn(&name, work).map(drop).map_err(|error| alloc::format!("{name}: {error}"))
}
