//! Boots the kernel in many shapes of machine, and judges what it says.
//!
//! `cargo test -p ktask-tests --test boot -- --list` lists the tests without booting; a part of a name after `--` chooses
//! among them. Names are `scenario::suite::test`.

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
    trials.extend(judged::trials(&lab));
    libtest_mimic::run(&arguments, trials).exit_code()
}
