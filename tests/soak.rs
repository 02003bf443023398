//! A hundred boots in a row, for what happens once in a hundred boots: `cargo soak`.
//!
//! Ignored unless asked for: it takes minutes. Nothing is tried twice; the first failure ends it, with the evidence.

use ktask_tests::lab::{Lab, expect_verdict};
use ktask_tests::shape::SMP4;
use libtest_mimic::{Arguments, Failed, Trial};
use protocol::exit::Verdict;
use protocol::record::Record;
use std::process::ExitCode;
use std::time::Instant;

const BOOTS: u32 = 100;

fn main() -> ExitCode {
    let trial = Trial::test("smp4::soak::a_hundred_boots_pass", soak).with_ignored_flag(true);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn soak() -> Result<(), Failed> {
    let lab = Lab::open()?;
    let start = Instant::now();
    for number in 1..=BOOTS {
        let evidence = lab.boot(&SMP4, "timing.bytes=16M timing.repeat=1")?;
        let blame = |failed: Failed| {
            Failed::from(format!("boot {number} of {BOOTS}: {}", failed.message().unwrap_or_default()))
        };
        expect_verdict(&evidence, Verdict::Pass).map_err(blame)?;
        let came = |record: &Record<String>| matches!(record, Record::Boot { cpus_online: 4, .. });
        if !evidence.records().iter().any(came) {
            return Err(blame(evidence.fail("not all CPUs came")));
        }
        if number % 10 == 0 {
            eprintln!("{number} of {BOOTS} boots passed, {:.1} s", start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
