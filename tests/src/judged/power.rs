//! How machines go off, and what their power button does.

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
    ("power::q35::goes_off_by_acpi", q35),
    ("power::pc::goes_off_by_acpi", pc),
    ("power::hardware_reduced::goes_off_by_its_sleep_register", hardware_reduced),
    ("power::panic::goes_off_by_acpi", panic),
    ("power::no_way_off::is_reset_and_says_how", no_way_off),
    ("power::no_way_off::stays_on_where_it_is_not_to_be_reset", stays_on),
    ("power::button::ends_the_shell", button_ends_shell),
    ("power::button::lets_a_command_finish", button_lets_command_finish),
    ("power::button::lets_a_run_finish", button_lets_run_finish),
    ("power::button::is_found_when_its_interrupt_is_masked", button_after_storm),
    ("power::events::that_nothing_handles_are_said_once", plugged_in),
    ("power::io_apics::are_masked_whatever_firmware_left", io_apics),
];

/// The debug exit device answers elsewhere: for the kernel there is none.
const NO_DEBUG_EXIT: [&str; 2] = ["-set", "device.debug-exit.iobase=0x5f4"];

/// The records' port of machines that have one serial port of their own.
const SECOND_PORT: &str = "isa-serial,iobase=0x2f8,irq=3,chardev=records";

/// QEMU ends with this status when its machine goes off, and when it resets.
const OFF: i32 = 0;

/// Lines of the log that tell of a reset, or that the machine stays on.
fn ways_out(evidence: &Evidence) -> Vec<&String> {
    let tells = |line: &&String| {
        ["resetting", "stays on", "power off is known", "power-off did not work"]
            .iter()
            .any(|part| line.contains(part))
    };
    evidence.run.log.iter().filter(tells).collect()
}

/// The machine went off, and needed no reset for that.
fn ensure_off(evidence: &Evidence, status: Status) -> Result<(), Failed> {
    let is_off = matches!(evidence.run.ending, Ending::NoVerdict(Some(OFF)));
    ensure(evidence, is_off, "the machine did not go off")?;
    let others = ways_out(evidence);
    ensure(evidence, others.is_empty(), format_args!("it took more than a power-off: {others:?}"))?;
    let ends = matches!(evidence.records().last(), Some(Record::End { status: told, .. }) if *told == status);
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

/// A machine without ACPI and without an exit device.
const NO_WAY_OFF: [&str; 6] =
    [NO_ACPI[0], NO_ACPI[1], NO_DEBUG_EXIT[0], NO_DEBUG_EXIT[1], "-device", SECOND_PORT];

fn no_way_off(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { extra: &NO_WAY_OFF, ..SMP1 }, "run=none")?;
    // The reset ends QEMU, as it is told not to start again.
    let is_over = matches!(evidence.run.ending, Ending::NoVerdict(Some(OFF)));
    ensure(&evidence, is_over, "the machine did not end")?;
    let ways = ways_out(&evidence);
    let says =
        |line: &str, way: &str| line.contains(&format!("no way to power off is known; resetting by {way}"));
    // It has no keyboard controller either.
    let both = matches!(ways[..], [first, second]
        if says(first, "the keyboard controller") && says(second, "a triple fault"));
    ensure(&evidence, both, format_args!("not the two ways that are left are told: {ways:?}"))
}

fn stays_on(lab: &Lab) -> Result<(), Failed> {
    let limits = Limits { total: Some(Duration::from_secs(60)), silence: Some(Duration::from_secs(6)) };
    let evidence =
        lab.boot_within(&Shape { extra: &NO_WAY_OFF, ..SMP1 }, "run=none power.reset=off", limits)?;
    let Ending::Hang(hang) = &evidence.run.ending else {
        return Err(evidence.fail("the machine did not stay on"));
    };
    let cpus = hang.cpus.as_ref().map_err(|why| evidence.fail(why))?;
    let halted = cpus.iter().all(|cpu| cpu.halted && !cpu.interrupts_on);
    ensure(&evidence, halted, "the CPU is not halted for good")?;
    let said = evidence.run.log.last().is_some_and(|line| line.contains("the machine stays on"));
    ensure(&evidence, said, "the last line does not say that the machine stays on")
}

/// The log tells once that the button was pressed, and what comes of it.
fn ensure_pressed_once(evidence: &Evidence, then: &str) -> Result<(), Failed> {
    let lines = evidence.run.log.iter().filter(|line| line.contains("power button pressed"));
    let lines: Vec<_> = lines.collect();
    let is_told = matches!(lines[..], [line] if line.contains(then));
    ensure(evidence, is_told, format_args!("not once and with {then:?}: {lines:?}"))
}

fn button_ends_shell(lab: &Lab) -> Result<(), Failed> {
    // While nothing is typed, and with a line half typed.
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

/// Commands still work.
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
            // From the first line to QEMU's end: a machine hears the button once its kernel has enabled it.
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

/// A source that nothing knows holds the line of the interrupt.
fn button_after_storm(lab: &Lab) -> Result<(), Failed> {
    let (shape, monitor) = Monitor::attach(SMP2, "storm");
    let evidence = lab.converse(&shape, "fault.sci_storm=on", move |shell| {
        shell.hears_part("does not end")?;
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
    let told = evidence.run.log.iter().filter(|line| line.contains("general-purpose event")).count();
    ensure(&evidence, told == 1, format_args!("{told} lines tell of an event, not 1"))
}

fn io_apics(lab: &Lab) -> Result<(), Failed> {
    // One CPU has its watchdog behind an I/O APIC.
    for shape in [SMP1, SMP2] {
        let evidence =
            lab.boot(&shape, "fault.ioapic_open=on log.level=debug run=test:arch::no_interrupt_line")?;
        ensure_all_pass(&evidence, 1)?;
        let was_open = evidence.run.log.iter().any(|line| line.contains("pins, 1 were open"));
        ensure(&evidence, was_open, "no pin was open before, so nothing is shown")?;
    }
    Ok(())
}
