//! Runs of a shell script in place of QEMU, which opens no channels: early failures. Runs of QEMU with a guest of a few
//! instructions: everything that needs a machine.

use super::*;
use crate::qemu::{Accel, Boot, Program};
use crate::size::Size;
use crate::system::{Real, System};
use std::path::PathBuf;

fn machine(qemu: PathBuf, kernel: PathBuf) -> Machine {
    Machine {
        qemu: Program::unchecked(qemu),
        kernel,
        boot: Boot::Direct,
        cpus: 2,
        memory: Size::from_mib(64),
        nodes: 1,
        accel: Accel::Tcg,
        cpu_model: None,
        command_line: String::new(),
        debugger: false,
        exit_device: true,
        extra: Vec::new(),
    }
}

fn go(machine: &Machine, limits: Limits) -> Result<Run, Failure> {
    run(machine, limits, &AtomicBool::new(false), &mut |_| {})
}

#[test]
fn endings_have_the_documented_statuses() {
    let hang = Hang { reason: String::new(), cpus: Ok(Vec::new()) };
    for (ending, status) in [
        (Ending::Verdict(Verdict::Pass), 0),
        (Ending::Verdict(Verdict::Fail), 1),
        (Ending::Verdict(Verdict::Panic), 3),
        (Ending::Verdict(Verdict::Watchdog), 4),
        (Ending::Hang(hang), 4),
        (Ending::NoVerdict(Some(0)), 5),
        (Ending::NoVerdict(Some(1)), 5),
        (Ending::NoVerdict(None), 5),
    ] {
        assert_eq!(ending.status().code(), status, "{ending:?}");
    }
    assert!(Ending::NoVerdict(Some(0)).describe().contains("triple fault"));
}

#[test]
fn missing_program_is_a_qemu_failure() {
    let failure = go(&machine("/nowhere/qemu".into(), "/k".into()), Limits::default()).unwrap_err();
    assert_eq!(failure.status, HostStatus::Qemu);
    assert!(failure.message.starts_with("cannot start /nowhere/qemu"), "{failure}");
}

#[test]
fn error_messages_of_qemu_are_passed_on() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("qemu");
    std::fs::write(&script, "#!/bin/sh\necho 'qemu: no such machine' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let failure = go(&machine(script, "/k".into()), Limits::default()).unwrap_err();
    assert_eq!(failure, Failure::qemu("qemu: no such machine"));
}

/// Returns QEMU's path, or `None` if it is not installed.
fn qemu() -> Option<PathBuf> {
    let found = Real.find_in_path(crate::qemu::program::NAME);
    if found.is_none() {
        eprintln!("no QEMU here: not run");
    }
    found
}

/// Returns a file with a guest of `code` for 32-bit mode.
fn guest(code: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), crate::qemu::probe::image_of(code)).unwrap();
    file
}

#[test]
fn total_limit_ends_a_hang_and_names_every_cpu() {
    let Some(qemu) = qemu() else { return };
    let guest = guest(&[0xeb, 0xfe]); // jmp to itself
    let machine = machine(qemu, guest.path().into());
    // On a busy host the firmware may take longer than a limit; then the CPU is not yet in the guest.
    for limit_ms in [700, 7_000, 70_000] {
        let limits = Limits { total: Some(Duration::from_millis(limit_ms)), silence: None };
        let run = go(&machine, limits).unwrap();
        let Ending::Hang(hang) = &run.ending else { panic!("no hang: {run:?}") };
        let cpus = hang.cpus.as_ref().unwrap();
        assert_eq!(cpus.len(), 2);
        if !cpus[0].halted && cpus[0].rip == u64::from(crate::qemu::probe::entry()) {
            return;
        }
    }
    panic!("no run came to the guest's instruction");
}

#[test]
fn log_records_and_verdict_arrive() {
    let Some(qemu) = qemu() else { return };
    let mut code = Vec::new();
    let mut send = |port: u16, text: &str| {
        for byte in text.bytes() {
            // mov dx, port; mov al, byte; out dx, al
            code.extend([0x66, 0xba, port as u8, (port >> 8) as u8, 0xb0, byte, 0xee]);
        }
    };
    send(0x3f8, "hello\r\n");
    send(0x2f8, "{\"record\":\"end\",\"t_ns\":1,\"status\":\"fail\",\"reason\":\"x\"}\nrubbish\n");
    code.extend([0xb0, Verdict::Fail.code() as u8, 0xe6, 0xf4]); // mov al, code; out 0xf4, al
    let guest = guest(&code);
    let run = go(&machine(qemu, guest.path().into()), Limits::default()).unwrap();
    assert!(matches!(run.ending, Ending::Verdict(Verdict::Fail)), "{run:?}");
    assert_eq!(run.log, ["hello"]);
    assert!(matches!(&run.records[..], [Record::End { .. }]), "{run:?}");
    assert_eq!((run.record_lines.len(), run.damaged.len()), (2, 1));
    assert!(run.first_line.is_some_and(|first| first < run.total));
}

#[test]
fn triple_fault_is_no_pass() {
    let Some(qemu) = qemu() else { return };
    // An empty interrupt table, then an undefined instruction.
    let guest = guest(&[0x0f, 0x01, 0x1d, 0, 0, 0x30, 0, 0x0f, 0x0b]);
    let run = go(&machine(qemu, guest.path().into()), Limits::default()).unwrap();
    assert!(matches!(run.ending, Ending::NoVerdict(Some(0))), "{run:?}");
    assert_eq!(run.ending.status(), HostStatus::Qemu);
    assert_eq!(run.shutdown, Some(Shutdown::Reset));
}

#[test]
fn silence_is_measured_from_the_last_line() {
    let Some(qemu) = qemu() else { return };
    let guest = guest(&[0xeb, 0xfe]);
    let limits = Limits { total: Some(Duration::from_secs(20)), silence: Some(Duration::from_millis(500)) };
    let run = go(&machine(qemu, guest.path().into()), limits).unwrap();
    assert_eq!(run.ending.describe(), "silent for 500ms");
}

#[test]
fn interruption_ends_the_run() {
    let Some(qemu) = qemu() else { return };
    let guest = guest(&[0xeb, 0xfe]);
    let machine = machine(qemu, guest.path().into());
    let run = run(&machine, Limits::default(), &AtomicBool::new(true), &mut |_| {}).unwrap();
    assert!(matches!(run.ending, Ending::Interrupted), "{run:?}");
    assert!(run.total < Duration::from_secs(10));
}

/// Returns instructions that send `text` to the first serial port, each byte when the port is ready.
fn sending(text: &str) -> Vec<u8> {
    // mov edx, 0x3fd; in al, dx; test al, 0x20; jz to the in; mov edx, 0x3f8; mov al, byte; out dx, al
    let wait = [0xba, 0xfd, 0x03, 0, 0, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0xba, 0xf8, 0x03, 0, 0];
    text.bytes().flat_map(|byte| wait.into_iter().chain([0xb0, byte, 0xee])).collect()
}

/// Boots a guest that sends a line, runs `middle`, sends `end` and fails. Disturbs it at the line.
fn disturbed(kind: DisturbanceKind, middle: &[u8], end: &str) -> Option<Run> {
    let qemu = qemu()?;
    let leave = [0xb0, Verdict::Fail.code() as u8, 0xe6, 0xf4]; // mov al, code; out 0xf4, al
    let guest = guest(&[sending("begin\n"), middle.to_vec(), sending(end), leave.to_vec()].concat());
    // The limit is shorter than the disturbance.
    let limits = Limits { total: Some(Duration::from_secs(60)), silence: Some(Duration::from_secs(3)) };
    let disturbance = Disturbance { after_lines: 1, kind, duration: Duration::from_secs(4) };
    let machine = machine(qemu, guest.path().into());
    Some(run_disturbed(&machine, limits, &AtomicBool::new(false), disturbance).unwrap())
}

#[test]
fn stopped_machine_is_not_silent_and_continues() {
    const TICKS: usize = 20;
    // mov ecx, 20000000; dec ecx; jnz to the dec. The guest must still run when it is stopped, on a busy host too, and must
    // not be silent for long before and after.
    let pause = [0xb9, 0x00, 0x2d, 0x31, 0x01, 0x49, 0x75, 0xfd];
    let middle = [&pause[..], &sending("tick\n")].concat().repeat(TICKS);
    let Some(run) = disturbed(DisturbanceKind::Stopped, &middle, "end\n") else { return };
    assert!(matches!(run.ending, Ending::Verdict(Verdict::Fail)), "{run:?}");
    let wanted = ["begin"].into_iter().chain([const { "tick" }; TICKS]).chain(["end"]);
    assert!(run.log.iter().eq(wanted), "{run:?}");
    assert!(run.total >= Duration::from_secs(4));
}

#[test]
fn unread_machine_is_not_silent_and_continues() {
    let lines = "0123456789abcdef\n".repeat(1000);
    let Some(run) = disturbed(DisturbanceKind::Unread, &[], &lines) else { return };
    assert!(matches!(run.ending, Ending::Verdict(Verdict::Fail)), "{run:?}");
    // QEMU's port loses bytes that a full pipe refuses several times; the remaining bytes arrive in order.
    assert!(run.log.len() > 1 && run.total >= Duration::from_secs(4), "{run:?}");
}

#[test]
fn late_sample_adds_little_and_a_stopped_machine_nothing() {
    let mut active = ActiveTime::new();
    active.last_sample -= Duration::from_secs(100);
    active.sample(false, false);
    assert_eq!((active.total, active.silence), (2 * TICK, 2 * TICK));
    active.last_sample -= Duration::from_secs(100);
    active.sample(false, true);
    assert_eq!(active.total, 2 * TICK);
    active.sample(true, false);
    assert_eq!(active.silence, Duration::ZERO);
    assert!(active.total >= 2 * TICK);
}
