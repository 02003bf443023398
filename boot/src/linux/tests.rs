//! Machines of Linux, and what a recorded run of one says.

use super::*;
use crate::qemu::{Accel, Program};
use crate::run::Hang;
use crate::system::fake::Fake;
use protocol::exit::{HostStatus, Verdict};
use protocol::record::parse_line;

fn ours() -> Machine {
    Machine {
        qemu: Program::unchecked("qemu-system-x86_64"),
        kernel: "k".into(),
        boot: Boot::Direct,
        cpus: 2,
        memory: Size::from_mib(1024),
        nodes: 1,
        accel: Accel::Tcg,
        cpu_model: Some("max,-erms".into()),
        command_line: "timing.bytes=256M".into(),
        debugger: false,
        exit_device: true,
        extra: vec!["-mem-prealloc".into()],
    }
}

/// Returns a run with the log and the records of a recorded one.
fn recorded(ending: Ending) -> Run {
    let mut run = Run::begun();
    run.ending = ending;
    run.log = include_str!("recorded.log").lines().map(str::to_string).collect();
    run.records =
        include_str!("recorded.jsonl").lines().filter_map(|line| parse_line(line).unwrap()).collect();
    run
}

fn judged(run: &Run) -> Result<(), Failure> {
    judge(run, &Log::parse(&run.log), &Paths::new(Path::new("out"), None, Some(Path::new("out/linux.log"))))
}

#[test]
fn machine_differs_in_kernel_and_command_line_alone() {
    let guest = Guest { kernel: "vmlinuz".into(), archive: "init.cpio".into() };
    let work = Work { bytes: 1 << 28, repeat: 3 };
    let machine = machine(&ours(), &guest, work);
    assert!(machine.command_line.ends_with(" -- 268435456 3"), "{}", machine.command_line);
    assert_eq!(machine.extra, ["-mem-prealloc", "-initrd", "init.cpio"]);
    let like =
        Machine { kernel: "k".into(), command_line: ours().command_line, extra: ours().extra, ..machine };
    assert_eq!(like, ours());
}

#[test]
fn work_leaves_two_thirds_of_the_memory() {
    for (mib, bytes_mib) in [(6144, 1024), (3072, 1024), (3071, 512), (1024, 256), (16, 4), (1, 2)] {
        assert_eq!(Work::on(Size::from_mib(mib)).bytes >> 20, bytes_mib, "{mib}");
    }
    let parameters = Work::on(Size::from_mib(1024)).parameters();
    assert_eq!(parameters, "timing.bytes=256M timing.untouched_bytes=256M timing.repeat=5");
}

#[test]
fn recorded_run_becomes_a_report() {
    let run = recorded(Ending::Verdict(Verdict::Pass));
    judged(&run).unwrap();
    let report = report(&run, &Log::parse(&run.log), &ours());
    let rows: Vec<_> =
        report.jobs.iter().map(|row| (row.job.as_str(), row.units, row.runs, row.ok)).collect();
    assert_eq!(
        rows,
        [("huge-pool", rows[0].1, 5, true), ("fallocate", 128, 5, true), ("punch-hole", 128, 5, true)]
    );
    assert!(report.jobs.iter().all(|row| row.ns > 0 && row.threads == 1));
    assert_eq!(report.phases.iter().map(|phase| &*phase.name).collect::<Vec<_>>(), ["memory-map-init"]);
    assert_eq!(report.warnings, ["linux has no page of 1 GiB, or the jobs work on less"]);
    let more = Machine { cpus: 3, ..ours() };
    let report = super::report(&run, &Log::parse(&run.log), &more);
    assert_eq!(report.warnings.last().unwrap(), "linux uses 2 of 3 CPUs");
}

#[test]
fn linux_that_does_not_answer_is_one_line_and_status_2() {
    let hang = || Ending::Hang(Hang { reason: "silent for 90s".into(), cpus: Ok(Vec::new()) });
    let mut panicked = recorded(Ending::NoVerdict(Some(0)));
    panicked.log.push("[    1.000000] Kernel panic - not syncing: No working init found.".into());
    for (run, why) in [
        (recorded(hang()), "silent for 90s"),
        (recorded(Ending::NoVerdict(Some(1))), "QEMU ended with status 1, which is no verdict"),
        (recorded(Ending::Verdict(Verdict::Fail)), "the kernel reports failure"),
        (panicked, "its kernel panicked: No working init found."),
    ] {
        let failure = judged(&run).unwrap_err();
        assert_eq!(failure.status, HostStatus::Usage);
        assert_eq!(failure.message, format!("linux did not answer: {why}; its log is out/linux.log"));
    }
}

#[test]
fn named_file_must_be_a_kernel_of_linux() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vmlinuz");
    let found = |named: &Path| find(&Fake::default(), Some(named), crate::doctor::Consent::ByRule);
    let refused = |named: &Path, part: &str| {
        let failure = found(named).unwrap_err();
        assert_eq!(failure.status, HostStatus::Usage);
        assert_eq!(failure.message.lines().count(), 1);
        assert!(failure.message.starts_with("--linux /") && failure.message.contains(part), "{failure}");
    };
    refused(&file, "No such file");
    for length in [0, 0x202, 0x205, 0x300] {
        std::fs::write(&file, vec![b'x'; length]).unwrap();
        refused(&file, "is no kernel of Linux (bzImage)");
    }
    let mut image = vec![0; 0x300];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    std::fs::write(&file, image).unwrap();
    assert_eq!(found(&file).unwrap(), file);
}
