//! Powering off, and the power button.

use super::faults::NO_ACPI;
use super::scenario::{Scenario, ensure, ensure_all_pass, ensure_warning};
use crate::dialogue::Dialogue;
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::monitor::Monitor;
use crate::shape::{DEBUG_SMP2, SMP1, SMP2, Shape};
use ktask_boot::run::{Ending, Limits};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::{Record, Status};
use std::sync::Arc;
use std::time::Duration;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("power::q35::is_powered_off_by_acpi", q35),
    ("power::pc::is_powered_off_by_acpi", pc),
    ("power::hardware_reduced::is_powered_off_by_its_sleep_register", hardware_reduced),
    ("power::panic::is_powered_off_by_acpi", panic),
    ("power::no_power_off::is_reset_with_a_line", no_power_off),
    ("power::no_power_off::stays_on_if_reset_is_off", stays_on),
    ("power::button::ends_the_shell", button_ends_shell),
    ("power::button::lets_a_command_finish", button_lets_command_finish),
    ("power::button::lets_a_run_finish", button_lets_run_finish),
    ("power::button::is_found_when_its_interrupt_is_masked", button_after_storm),
    ("power::events::without_a_handler_are_reported_once", plugged_in),
    ("power::io_apics::are_masked_after_any_firmware", io_apics),
];

/// Moves the exit device to another port: the kernel finds none.
const NO_DEBUG_EXIT: [&str; 2] = ["-set", "device.debug-exit.iobase=0x5f4"];

/// The port for records, for machines with one serial port.
const SECOND_PORT: &str = "isa-serial,iobase=0x2f8,irq=3,chardev=records";

/// QEMU's exit status when its machine powers off or resets.
const OFF: i32 = 0;

/// Returns the log lines about a reset, a failed power-off, or a machine that stays on.
fn reset_lines(evidence: &Evidence) -> Vec<&String> {
    let is_about_reset = |line: &&String| {
        ["resetting", "stays on", "power off is known", "power-off did not work"]
            .iter()
            .any(|part| line.contains(part))
    };
    evidence.run.log.iter().filter(is_about_reset).collect()
}

/// Fails unless the machine powered off without a reset.
fn ensure_off(evidence: &Evidence, status: Status) -> Result<(), Failed> {
    let is_off = matches!(evidence.run.ending, Ending::NoVerdict(Some(OFF)));
    ensure(evidence, is_off, "the machine did not power off")?;
    let others = reset_lines(evidence);
    ensure(evidence, others.is_empty(), format_args!("it took more than a power-off: {others:?}"))?;
    let ends = matches!(evidence.records().last(), Some(Record::End { status: reported, .. }) if *reported == status);
    ensure(evidence, ends, format_args!("the last record is not the end with {status:?}"))
}

fn q35(lab: &Lab) -> Result<(), Failed> {
    ensure_off(&lab.boot(&Shape { extra: &NO_DEBUG_EXIT, ..SMP2 }, "run=none")?, Status::Pass)
}

fn pc(lab: &Lab) -> Result<(), Failed> {
    const EXTRA: [&str; 4] = [NO_DEBUG_EXIT[0], NO_DEBUG_EXIT[1], "-machine", "pc"];
    ensure_off(&lab.boot(&Shape { extra: &EXTRA, ..SMP2 }, "run=none")?, Status::Pass)
}

fn hardware_reduced(lab: &Lab) -> Result<(), Failed> {
    const EXTRA: [&str; 6] =
        [NO_DEBUG_EXIT[0], NO_DEBUG_EXIT[1], "-machine", "microvm,acpi=on", "-device", SECOND_PORT];
    ensure_off(&lab.boot(&Shape { extra: &EXTRA, ..SMP2 }, "run=none")?, Status::Pass)
}

fn panic(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { extra: &NO_DEBUG_EXIT, ..SMP2 }, "fault.panic_cpu=1")?;
    ensure_off(&evidence, Status::Fail)
}

/// A machine without ACPI and exit device.
const NO_POWER_OFF: [&str; 6] =
    [NO_ACPI[0], NO_ACPI[1], NO_DEBUG_EXIT[0], NO_DEBUG_EXIT[1], "-device", SECOND_PORT];

fn no_power_off(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { extra: &NO_POWER_OFF, ..SMP1 }, "run=none")?;
    // QEMU runs with -no-reboot, so the reset ends it.
    let is_over = matches!(evidence.run.ending, Ending::NoVerdict(Some(OFF)));
    ensure(&evidence, is_over, "the machine did not end")?;
    let ways = reset_lines(&evidence);
    let says =
        |line: &str, way: &str| line.contains(&format!("no way to power off is known; resetting by {way}"));
    // The machine has no keyboard controller either.
    let both = matches!(ways[..], [first, second]
        if says(first, "the keyboard controller") && says(second, "a triple fault"));
    ensure(&evidence, both, format_args!("the log does not name both remaining ways to reset: {ways:?}"))
}

fn stays_on(lab: &Lab) -> Result<(), Failed> {
    let limits = Limits { total: Some(Duration::from_secs(60)), silence: Some(Duration::from_secs(6)) };
    let evidence =
        lab.boot_within(&Shape { extra: &NO_POWER_OFF, ..SMP1 }, "run=none power.reset=off", limits)?;
    let Ending::Hang(hang) = &evidence.run.ending else {
        return Err(evidence.fail("the machine did not stay on"));
    };
    let cpus = hang.cpus.as_ref().map_err(|why| evidence.fail(why))?;
    let halted = cpus.iter().all(|cpu| cpu.halted && !cpu.interrupts_on);
    ensure(&evidence, halted, "the CPU is not halted with interrupts off")?;
    let reported = evidence.run.log.last().is_some_and(|line| line.contains("the machine stays on"));
    ensure(&evidence, reported, "the last line does not say that the machine stays on")
}

/// Fails unless the log reports the pressed button once, with `then`.
fn ensure_pressed_once(evidence: &Evidence, then: &str) -> Result<(), Failed> {
    let lines = evidence.run.log.iter().filter(|line| line.contains("power button pressed"));
    let lines: Vec<_> = lines.collect();
    let is_reported = matches!(lines[..], [line] if line.contains(then));
    ensure(evidence, is_reported, format_args!("not once and with {then:?}: {lines:?}"))
}

fn button_ends_shell(lab: &Lab) -> Result<(), Failed> {
    // With an empty line, and with a half-typed one.
    for (typed, shape) in [("", SMP2), ("uptim", DEBUG_SMP2)] {
        let (shape, monitor) = Monitor::attach(shape, "ends_shell");
        let evidence = lab.converse(&shape, "", move |shell| {
            usable(shell)?;
            shell.send(typed.as_bytes())?;
            monitor.run("system_powerdown")
        })?;
        expect_verdict(&evidence, Verdict::Pass)?;
        ensure_pressed_once(&evidence, "the shell ends")?;
        let ends = matches!(evidence.records().last(), Some(Record::End { status: Status::Pass, .. }));
        ensure(&evidence, ends, "the last record is not the end of a run that passed")?;
    }
    Ok(())
}

/// Fails unless commands still work.
fn usable(shell: &mut Dialogue) -> Result<(), String> {
    shell.works("uptime").map(drop)
}

fn button_lets_command_finish(lab: &Lab) -> Result<(), Failed> {
    let (shape, monitor) = Monitor::attach(SMP2, "command");
    let evidence = lab.converse(&shape, "timing.bytes=64M timing.repeat=3", move |shell| {
        shell.send(b"timing zero-pages\r")?;
        shell.wait_for("ktask> timing zero-pages")?;
        monitor.run("system_powerdown")?;
        monitor.run("system_powerdown")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_pressed_once(&evidence, "the shell ends")?;
    let is_done = |record: &Record<String>| matches!(record, Record::Command { line, ok: true, .. } if line == "timing zero-pages");
    ensure(&evidence, evidence.records().iter().any(is_done), "the command did not finish")
}

fn button_lets_run_finish(lab: &Lab) -> Result<(), Failed> {
    let (shape, monitor) = Monitor::attach(SMP2, "run");
    let monitor = Arc::new(monitor);
    let mut is_pressing = false;
    let evidence = lab.boot_watched(&shape, "run=timing timing.bytes=64M timing.repeat=3", &mut |_| {
        if !std::mem::replace(&mut is_pressing, true) {
            let monitor = Arc::clone(&monitor);
            // Presses from the first line to QEMU's end: the button has an effect only once the kernel has enabled it.
            std::thread::spawn(move || while monitor.run("system_powerdown").is_ok() {});
        }
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_pressed_once(&evidence, "the run goes on to its end")?;
    for job in super::timing::JOBS {
        let has_run = evidence.report.jobs.iter().any(|row| row.job == job && row.ok);
        ensure(&evidence, has_run, format_args!("{job} did not run"))?;
    }
    Ok(())
}

/// A source without a handler asserts the line of the interrupt.
fn button_after_storm(lab: &Lab) -> Result<(), Failed> {
    let (shape, monitor) = Monitor::attach(SMP2, "storm");
    let evidence = lab.converse(&shape, "fault.sci_storm=on", move |shell| {
        shell.expect_part("does not end")?;
        usable(shell)?;
        monitor.run("system_powerdown")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["system control interrupt", "masked"])?;
    ensure_pressed_once(&evidence, "the shell ends")
}

fn plugged_in(lab: &Lab) -> Result<(), Failed> {
    const EXTRA: [&str; 2] = ["-smp", "2,maxcpus=4,sockets=4,cores=1,threads=1"];
    let (shape, monitor) =
        Monitor::attach(Shape { cpu_model: Some("qemu64"), extra: &EXTRA, ..SMP2 }, "plugged_in");
    let evidence = lab.converse(&shape, "", move |shell| {
        usable(shell)?;
        for socket in [2, 3] {
            let place = format!("socket-id={socket},core-id=0,thread-id=0");
            monitor.run(&format!("device_add qemu64-x86_64-cpu,id=more{socket},{place}"))?;
            usable(shell)?;
        }
        monitor.run("system_powerdown")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_pressed_once(&evidence, "the shell ends")?;
    let reported = evidence.run.log.iter().filter(|line| line.contains("general-purpose event")).count();
    ensure(&evidence, reported == 1, format_args!("{reported} lines report an event, not 1"))
}

fn io_apics(lab: &Lab) -> Result<(), Failed> {
    // With one CPU, the watchdog's timer uses an I/O APIC.
    for shape in [SMP1, SMP2] {
        let evidence =
            lab.boot(&shape, "fault.ioapic_open=on log.level=debug run=test:arch::no_interrupt_line")?;
        ensure_all_pass(&evidence, 1)?;
        let was_open = evidence.run.log.iter().any(|line| line.contains("pins, 1 were open"));
        ensure(&evidence, was_open, "no pin was open before, so the test shows nothing")?;
    }
    Ok(())
}
