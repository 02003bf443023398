//! Boots the kernel on many shapes of machine, and judges its output.
//!
//! `cargo test -p ktask-tests --test boot -- --list` lists the tests without booting. A part of a name after `--` selects
//! tests. Names are `scenario::suite::test`.

use ktask_tests::{in_kernel, judged, lab::Lab};
use libtest_mimic::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let lab = match Lab::open() {
        Ok(lab) => lab,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let mut trials = in_kernel::trials(&lab, &arguments);
    trials.extend(judged::trials(&lab, &arguments));
    libtest_mimic::run(&arguments, trials).exit_code()
}
