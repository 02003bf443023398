//! Linux beside the kernel, in the same machine.

use crate::lab::{Lab, expect_verdict};
use crate::shape::{SMP2, Shape};
use ktask_boot::compare::{self, Comparison, Matching, Side};
use ktask_boot::doctor::{self, Consent, What};
use ktask_boot::linux::{self, Work};
use ktask_boot::report::Paths;
use ktask_boot::run::{Follower, Limits};
use ktask_boot::system::{Real, System};
use libtest_mimic::{Completion, Failed, Trial};
use protocol::exit::Verdict;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A machine on which Linux has room for its pages.
const SHAPE: Shape = Shape {
    name: "linux",
    memory_mib: 512,
    // Linux clears pages by what these features promise; translated, that is the slowest way.
    cpu_model: Some("max,vendor=GenuineIntel,-erms,-fsrm"),
    ..SMP2
};

/// Little work: the test is about the way to the numbers.
const WORK: Work = Work { bytes: 64 << 20, repeat: 1 };

/// Returns the trial, which is ignored without Linux's kernel.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let lab = lab.clone();
    vec![Trial::ignorable_test("linux::compare::jobs_of_both_stand_side_by_side", move || match kernel() {
        Ok(kernel) => judge(&lab, kernel).map(|()| Completion::Completed),
        Err(why) => Ok(Completion::ignored_with(why)),
    })]
}

/// Returns Linux's kernel. Only the gate downloads it.
fn kernel() -> Result<PathBuf, String> {
    match Real.var("CI") {
        Some(_) => linux::find(&Real, None, Consent::ByRule).map_err(|failure| failure.message),
        None => linux::unpacked()
            .ok_or_else(|| "Debian's Linux is not here; `cargo run -- compare linux` downloads it".into()),
    }
}

fn judge(lab: &Lab, kernel: PathBuf) -> Result<(), Failed> {
    let tools = doctor::examine(&Real, None, &What::BUILD).map_err(|failure| failure.message)?;
    let toolchain = tools.toolchain.ok_or("the kernel's toolchain is missing")?;
    let guest = linux::prepare(&toolchain, kernel)?;
    let ours = lab.boot(&SHAPE, &WORK.parameters())?;
    expect_verdict(&ours, Verdict::Pass)?;
    let folder = tempfile::tempdir()?;
    let paths = Paths::new(folder.path(), None, None);
    let machine = linux::machine(&lab.machine(&SHAPE, "")?, &guest, WORK);
    let limits = Limits { total: Some(Duration::from_secs(600)), silence: Some(Duration::from_secs(120)) };
    let mut log = Log::default();
    let measured = {
        let _guard = lab.lock_boots();
        linux::measure(&machine, limits, &paths, &AtomicBool::new(false), &mut log)
    };
    let linux = measured.map_err(|failure| format!("{failure}\n{}", log.lines.join("\n")))?.report;
    let ensure = |holds: bool, what: &str| {
        let fail = || Failed::from(format!("{what}: {linux:#?}\n{}", log.lines.join("\n")));
        if holds { Ok(()) } else { Err(fail()) }
    };
    let jobs: Vec<_> = linux.jobs.iter().map(|row| (row.job.as_str(), row.runs)).collect();
    ensure(jobs == [("huge-pool", 1), ("fallocate", 1), ("punch-hole", 1)], "linux has other jobs")?;
    ensure(linux.jobs.iter().all(|row| row.ok && row.ns > 0), "a result is wrong or was not measured")?;
    ensure(
        linux.phases.iter().any(|phase| phase.name == "memory-map-init"),
        "linux tells no memory map init",
    )?;
    // One page of 1 GiB does not fit.
    ensure(linux.warnings.len() == 1, "linux has other warnings")?;
    let side = |label: &str, report| Side { label: label.into(), report };
    let sides = vec![side("linux", linux.clone()), side("ktask", ours.report.clone())];
    let text = compare::render(&Comparison::of(sides, Matching::FirstHasOneWay)?, false);
    let places: Vec<_> = ["memory-map-init", "jobs\n", "fallocate ", "punch-hole "]
        .iter()
        .map(|part| text.find(part))
        .collect();
    let is_whole = places.iter().all(Option::is_some) && places.is_sorted();
    ensure(is_whole, &format!("the comparison lacks rows:\n{text}"))
}

/// Keeps Linux's log for a failure.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
}

impl Follower for Log {
    fn line(&mut self, line: &str) {
        self.lines.push(line.into());
    }
}
