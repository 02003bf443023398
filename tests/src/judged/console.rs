//! Serial ports whose readers stop, and reports that are disturbed: the kernel goes on, tells what is lost, and ends with
//! its verdict.

use super::scenario::{Scenario, ensure};
use crate::lab::{Lab, expect_verdict};
use crate::shape::{SMP1, SMP2, Shape};
use ktask_boot::qemu::Wiring;
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::{Record, Status, parse_line};
use protocol::shell::PROMPT;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("stopped_reader::console::of_the_log_holds_nothing_up", stopped_log),
    ("stopped_reader::console::of_records_holds_nothing_up", stopped_records),
    ("slow_reader::console::gets_everything", slow_log),
    ("stopped_reader::panic::ends_with_its_verdict", stopped_panic),
    ("disturbed_report::panic::goes_on_when_an_nmi_comes", report_and_nmi),
    ("disturbed_report::panic::that_fails_still_ends_the_machine", report_fails),
    ("disturbed_report::panic::is_not_stopped_by_the_watchdog", report_and_watchdog),
    ("smp1::nmi::from_outside_is_told_as_that", nmi_one),
    ("smp2::nmi::from_outside_is_told_as_that", nmi_two),
];

/// How long a machine may do nothing that a test waits for: only a hang takes as long.
const HANG: Duration = Duration::from_secs(120);

/// Commands enough to fill every buffer on the way several times.
const COMMANDS: usize = 60;

/// A machine whose ports lead to sockets that are read only when the test does. A socket is full after a few hundred
/// bytes, as each byte of a port is a message of its own.
struct Wired {
    qemu: std::process::Child,
    log: UnixStream,
    records: UnixStream,
    control: UnixStream,
    _directory: tempfile::TempDir,
}

/// Waits for QEMU to open one of its channels.
fn accept(listener: &UnixListener, qemu: &mut Child) -> Result<UnixStream, String> {
    let cannot = |error: std::io::Error| format!("QEMU's channel: {error}");
    listener.set_nonblocking(true).map_err(cannot)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(cannot)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(cannot(error)),
        }
        if let Some(status) = qemu.try_wait().map_err(cannot)? {
            return Err(format!("QEMU ended with {status} before it opened its channels"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Wired {
    fn start(lab: &Lab, shape: &Shape, command_line: &str) -> Result<Self, Failed> {
        let machine = lab.machine(shape, command_line)?;
        let directory = tempfile::Builder::new().prefix("ktask-").tempdir()?;
        let path = |name: &str| directory.path().join(name);
        let listen = |name: &str| UnixListener::bind(path(name));
        let listeners = [listen("log")?, listen("records")?, listen("control")?];
        let (records, control) = (path("records"), path("control"));
        let wiring = Wiring::Channels { records: &records, control: &control };
        let arguments = machine.arguments(wiring).into_iter().map(|argument| {
            ["log", "records"]
                .iter()
                .find(|name| argument.contains(&format!(",id={name}")))
                .map_or(argument.clone(), |name| format!("socket,id={name},path={}", path(name).display()))
        });
        let mut qemu = Command::new(&machine.qemu.path).args(arguments).stdin(Stdio::null()).spawn()?;
        let mut streams = Vec::new();
        for listener in listeners {
            match accept(&listener, &mut qemu) {
                Ok(stream) => streams.push(stream),
                Err(why) => {
                    // Both fail only if it has ended already.
                    let _ = qemu.kill();
                    let _ = qemu.wait();
                    return Err(why.into());
                }
            }
        }
        let [log, records, control] = streams.try_into().map_err(|_| "three were accepted")?;
        Ok(Self { qemu, log, records, control, _directory: directory })
    }

    /// Waits for the end, for as long as something is told to `alive`; fails unless it is `verdict`.
    fn end(mut self, verdict: Verdict) -> Result<(), Failed> {
        let status = (0..HANG.as_millis() / 10).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.qemu.try_wait().ok().flatten()
        });
        let status = status.ok_or("the machine does not end")?;
        match status.code() == Some(verdict.qemu_status()) {
            true => Ok(()),
            false => Err(format!("the machine ended with {status}, not as {verdict:?}").into()),
        }
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Reads a port to its end, on a thread of its own, piece by piece: up to each `until`.
fn pieces(port: &UnixStream, until: u8) -> std::io::Result<Receiver<String>> {
    let mut input = BufReader::new(port.try_clone()?);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut piece = Vec::new();
        while input.read_until(until, &mut piece).is_ok_and(|count| count > 0) {
            if sender.send(String::from_utf8_lossy(&piece).into_owned()).is_err() {
                return;
            }
            piece.clear();
        }
    });
    Ok(receiver)
}

/// Collects pieces until `is_enough` of them are there; all up to the end if it never says so.
fn collect(from: &Receiver<String>, is_enough: impl Fn(&[String]) -> bool) -> Result<Vec<String>, Failed> {
    let mut pieces = Vec::new();
    while !is_enough(&pieces) {
        match from.recv_timeout(HANG) {
            Ok(piece) => pieces.push(piece),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let last = pieces.last();
                return Err(format!("nothing more comes after {} pieces: {last:?}", pieces.len()).into());
            }
        }
    }
    Ok(pieces)
}

/// Reads from `port` up to the first prompt, and not a byte further.
fn wait_for_prompt(mut port: &UnixStream) -> Result<(), Failed> {
    port.set_read_timeout(Some(HANG))?;
    let mut text = Vec::new();
    while !text.ends_with(PROMPT.as_bytes()) {
        let mut byte = [0];
        port.read_exact(&mut byte)?;
        text.extend(byte);
    }
    Ok(())
}

/// The records in `lines`; each has to be a whole one.
fn parsed(lines: &[String]) -> Result<Vec<Record<String>>, Failed> {
    let mut records = Vec::new();
    for line in lines {
        match parse_line(line.trim_end_matches('\n')) {
            Ok(Some(record)) if line.ends_with('\n') => records.push(record),
            other => return Err(format!("no whole record, {other:?}: {line:?}").into()),
        }
    }
    Ok(records)
}

fn is_command(line: &str) -> bool {
    line.contains("\"record\":\"command\"")
}

/// Fails unless a warning tells that something of `what` was lost.
fn ensure_told(records: &[Record<String>], what: &str) -> Result<(), Failed> {
    let told = records.iter().any(
        |record| matches!(record, Record::Warning { what: text, .. } if text.contains(what) && text.contains("lost")),
    );
    if told { Ok(()) } else { Err(format!("no warning tells that {what} were lost: {records:?}").into()) }
}

/// Less than the time after which a port counts as stuck: who waits for it keeps nobody else from the CPU.
const WATCHED: &str = "run=shell watchdog.timeout_ms=1800";

fn stopped_log(lab: &Lab) -> Result<(), Failed> {
    let _turn = lab.turn();
    let mut machine = Wired::start(lab, &SMP2, WATCHED)?;
    let records = pieces(&machine.records, b'\n')?;
    wait_for_prompt(&machine.log)?;
    // Nobody reads the log from here on: the commands are run all the same, which the records tell.
    machine.log.write_all("sysctl\n".repeat(COMMANDS).as_bytes())?;
    let enough = |lines: &[String]| lines.iter().filter(|line| is_command(line)).count() == COMMANDS;
    let mut lines = collect(&records, enough)?;
    // Somebody reads again.
    let log = pieces(&machine.log, b'\n')?;
    machine.log.write_all(b"poweroff\n")?;
    lines.extend(collect(&records, |_| false)?);
    let log = collect(&log, |_| false)?.concat();
    machine.end(Verdict::Pass)?;
    let records = parsed(&lines)?;
    ensure_told(&records, "lines")?;
    if !log.contains(" lines lost") {
        return Err("the log does not tell that lines were lost".into());
    }
    Ok(())
}

fn stopped_records(lab: &Lab) -> Result<(), Failed> {
    let _turn = lab.turn();
    let mut machine = Wired::start(lab, &SMP2, WATCHED)?;
    wait_for_prompt(&machine.log)?;
    machine.log.write_all("ps\n".repeat(COMMANDS).as_bytes())?;
    // One thread of each listing.
    let log = pieces(&machine.log, b'\n')?;
    let enough =
        |lines: &[String]| lines.iter().filter(|line| line.contains(" watchdog/1 ")).count() == COMMANDS;
    let mut lines = collect(&log, enough)?;
    let records = pieces(&machine.records, b'\n')?;
    // The port moves again, and has what it could not take.
    let told = collect(&records, |lines| lines.last().is_some_and(|line| line.contains(" records lost")))?;
    machine.log.write_all(b"poweroff\n")?;
    let mut all = told;
    all.extend(collect(&records, |_| false)?);
    lines.extend(collect(&log, |_| false)?);
    machine.end(Verdict::Pass)?;
    let records = parsed(&all)?;
    ensure_told(&records, "records")?;
    if !lines.concat().contains(" records lost") {
        return Err("the log does not tell that records were lost".into());
    }
    match records.last() {
        Some(Record::End { status: Status::Pass, .. }) => Ok(()),
        last => Err(format!("the last record is not the end: {last:?}").into()),
    }
}

/// A reader that is slower than the kernel, but never stops for long, loses nothing.
fn slow_log(lab: &Lab) -> Result<(), Failed> {
    let _turn = lab.turn();
    let mut machine = Wired::start(lab, &SMP2, WATCHED)?;
    let records = pieces(&machine.records, b'\n')?;
    wait_for_prompt(&machine.log)?;
    machine.log.write_all("sysctl\n".repeat(COMMANDS).as_bytes())?;
    machine.log.write_all(b"poweroff\n")?;
    let mut log = Vec::new();
    let mut part = [0; 256];
    loop {
        match machine.log.read(&mut part)? {
            0 => break,
            count => log.extend(&part[..count]),
        }
        // Ten times as fast as a real line.
        std::thread::sleep(Duration::from_millis(2));
    }
    let lines = collect(&records, |_| false)?;
    machine.end(Verdict::Pass)?;
    let lost = parsed(&lines)?.into_iter().find(|record| matches!(record, Record::Warning { .. }));
    if let Some(lost) = lost {
        return Err(format!("a reader that never stopped: {lost:?}").into());
    }
    let log = String::from_utf8_lossy(&log);
    let listed = log.matches("\nwatchdog.timeout_ms").count();
    match listed == COMMANDS {
        true => Ok(()),
        false => Err(format!("{listed} of {COMMANDS} listings came").into()),
    }
}

/// Nobody ever reads.
fn stopped_panic(lab: &Lab) -> Result<(), Failed> {
    let _turn = lab.turn();
    for shape in [&SMP1, &SMP2] {
        Wired::start(lab, shape, "fault.panic_cpu=0 trace.enabled=on")?.end(Verdict::Panic)?;
    }
    Ok(())
}

fn report_and_nmi(lab: &Lab) -> Result<(), Failed> {
    for shape in [&SMP1, &SMP2] {
        let evidence = lab.boot(shape, "fault.panic_cpu=0 fault.report=nmi")?;
        expect_verdict(&evidence, Verdict::Panic)?;
        let is_whole = matches!(evidence.records(), [.., Record::Panic { .. }, Record::End { .. }]);
        ensure(&evidence, is_whole, "the report was not finished")?;
        let empty = evidence.run.record_lines.iter().any(String::is_empty);
        ensure(&evidence, !empty, "an empty line on the record port")?;
    }
    Ok(())
}

fn report_fails(lab: &Lab) -> Result<(), Failed> {
    for fault in ["fault.panic_cpu=0", "fault.stack_overflow=0"] {
        for report in ["panic", "exception"] {
            let evidence = lab.boot(&SMP2, &format!("{fault} fault.report={report}"))?;
            expect_verdict(&evidence, Verdict::Panic)?;
            let told = evidence.run.log.iter().any(|line| line.contains("failed while reporting: "));
            ensure(&evidence, told, "the log does not tell that the report failed")?;
            let last = evidence.records().last();
            let ended =
                matches!(last, Some(Record::End { reason, .. }) if reason.contains("failed while reporting"));
            ensure(&evidence, ended, "the last record is not the end")?;
        }
    }
    Ok(())
}

/// The one CPU is busy with its report for several of the watchdog's rounds.
fn report_and_watchdog(lab: &Lab) -> Result<(), Failed> {
    for _ in 0..3 {
        let evidence =
            lab.boot(&SMP1, "watchdog.timeout_ms=200 trace.enabled=on fault.panic_cpu=0 run=none")?;
        expect_verdict(&evidence, Verdict::Panic)?;
    }
    Ok(())
}

fn nmi_one(lab: &Lab) -> Result<(), Failed> {
    nmi(lab, &SMP1)
}

fn nmi_two(lab: &Lab) -> Result<(), Failed> {
    nmi(lab, &SMP2)
}

/// The machine's NMI button.
fn nmi(lab: &Lab, shape: &Shape) -> Result<(), Failed> {
    let _turn = lab.turn();
    let machine = Wired::start(lab, shape, "run=shell")?;
    let records = pieces(&machine.records, b'\n')?;
    wait_for_prompt(&machine.log)?;
    let _log = pieces(&machine.log, b'\n')?;
    (&machine.control).write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"inject-nmi\"}")?;
    let lines = collect(&records, |_| false)?;
    machine.end(Verdict::Panic)?;
    let told = parsed(&lines)?.into_iter().find_map(|record| match record {
        Record::Fault { message, .. } => Some(message),
        _ => None,
    });
    match told.as_deref() {
        Some("non-maskable interrupt from outside the kernel") => Ok(()),
        other => Err(format!("the fault is told as {other:?}").into()),
    }
}
