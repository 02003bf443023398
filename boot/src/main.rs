//! The command behind `cargo run`.

use ktask_boot::cli::{self, Stop};
use ktask_boot::command::{INTERRUPTED, execute};
use ktask_boot::failure::Failure;
use ktask_boot::system::Real;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Stop::Show(help)) => {
            // A closed standard output is no failure.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(Stop::Failure(failure)) => return fail(&failure),
    };
    let interrupt = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupt);
    // Relaxed: the flag carries no data and is polled every tenth of a second. Without a handler, Ctrl-C ends the process
    // at once, and QEMU with it.
    if let Err(error) = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)) {
        eprintln!("warning: Ctrl-C will end this without a report: {error}");
    }
    match execute(&cli, &Real, &interrupt) {
        Ok(status) => ExitCode::from(status),
        // An interrupted command did not fail.
        Err(_) if interrupt.load(Ordering::Relaxed) => ExitCode::from(INTERRUPTED),
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::from(failure.status.code())
}
