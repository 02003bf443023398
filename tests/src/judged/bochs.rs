//! The timing run in Bochs, where time is counted in instructions.

use super::scenario::{cpus, ensure, warnings};
use crate::bochs;
use crate::lab::{Lab, expect_new_timers, expect_verdict};
use libtest_mimic::{Completion, Failed, Trial};
use protocol::exit::Verdict;

/// A few pages of each job: Bochs takes a second for 30 million instructions.
const SMALL_TIMING: &str = "run=timing timing.bytes=16M timing.repeat=1";

/// Returns the trials, which are ignored without Bochs.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let lab = lab.clone();
    vec![Trial::ignorable_test("bochs_smp2::timing::every_job_is_timed", move || match lab.bochs() {
        Ok(_) => timing(&lab).map(|()| Completion::Completed),
        Err(reason) => Ok(Completion::ignored_with(reason)),
    })]
}

fn timing(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot_bochs(&bochs::SMP2, SMALL_TIMING)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    expect_new_timers(&evidence)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (2, 2), format_args!("found and online are {counts:?}, not (2, 2)"))?;
    for job in super::timing::JOBS {
        for threads in [1, 2] {
            let is_timed =
                evidence.report.jobs.iter().any(|row| row.job == job && row.threads == threads && row.ok);
            ensure(&evidence, is_timed, format_args!("{job} was not timed on {threads} threads, and right"))?;
        }
    }
    // GRUB finds only modes with a palette there, and the kernel says that it does not use them.
    let is_other = |warning: &&str| !warning.contains("the loader's screen");
    let reported: Vec<_> = warnings(&evidence).into_iter().filter(is_other).collect();
    ensure(&evidence, reported.is_empty(), format_args!("warnings: {reported:?}"))
}
