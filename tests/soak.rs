//! A hundred boots in a row, for what happens once in a hundred boots: `cargo soak`.
//!
//! Ignored unless asked for: it takes minutes. Each boot is a test of its own and every failure is told; nothing is
//! tried twice.

use ktask_tests::lab::{Lab, expect_verdict};
use ktask_tests::shape::SMP4;
use libtest_mimic::{Arguments, Trial};
use protocol::exit::Verdict;
use protocol::record::Record;
use std::process::ExitCode;

const BOOTS: u32 = 100;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // More than one guest at a time would test the host.
    arguments.test_threads = Some(1);
    let lab = match Lab::open() {
        Ok(lab) => lab,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let trials = (1..=BOOTS)
        .map(|number| {
            let lab = lab.clone();
            Trial::test(format!("soak::boot_{number:03}"), move || {
                let run = lab.boot(&SMP4, "timing.bytes=16M timing.repeat=1")?;
                expect_verdict(&run, Verdict::Pass)?;
                let all_online =
                    |record: &Record<String>| matches!(record, Record::Boot { cpus_online: 4, .. });
                match run.records().iter().any(all_online) {
                    true => Ok(()),
                    false => Err(run.fail("not all CPUs came")),
                }
            })
            .with_ignored_flag(true)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
