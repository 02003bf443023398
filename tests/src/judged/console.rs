//! Serial ports whose readers stop, and disturbed panic reports: the kernel continues, reports what it lost, and ends with its
//! verdict.

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
    ("stopped_reader::console::of_the_log_blocks_nothing", stopped_log),
    ("stopped_reader::console::of_records_blocks_nothing", stopped_records),
    ("slow_reader::console::gets_everything", slow_log),
    ("stopped_reader::panic::ends_with_its_verdict", stopped_panic),
    ("disturbed_report::panic::continues_after_an_nmi", report_and_nmi),
    ("disturbed_report::panic::ends_the_machine_if_it_fails", report_fails),
    ("disturbed_report::panic::is_not_stopped_by_the_watchdog", report_and_watchdog),
    ("smp1::nmi::from_outside_is_reported", nmi_one),
    ("smp2::nmi::from_outside_is_reported", nmi_two),
];

/// Limit for waiting on a machine; only a hang takes so long.
const HANG: Duration = Duration::from_secs(120);

/// Number of commands; their output fills every buffer several times.
const COMMANDS: usize = 60;

/// A machine whose ports are sockets that only the test reads. A socket is full after a few hundred bytes, because each byte is
/// a separate message.
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
                    // Both fail only if QEMU has ended already.
                    let _ = qemu.kill();
                    let _ = qemu.wait();
                    return Err(why.into());
                }
            }
        }
        let [log, records, control] = streams.try_into().map_err(|_| "three were accepted")?;
        Ok(Self { qemu, log, records, control, _directory: directory })
    }

    /// Waits for the end; fails unless the verdict is `verdict`.
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
        // Both fail only if QEMU has ended already.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Reads a port to its end on a separate thread, in pieces that end with `until`.
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

/// Collects pieces until `is_enough`, or to the end.
fn collect(from: &Receiver<String>, is_enough: impl Fn(&[String]) -> bool) -> Result<Vec<String>, Failed> {
    let mut pieces = Vec::new();
    while !is_enough(&pieces) {
        match from.recv_timeout(HANG) {
            Ok(piece) => pieces.push(piece),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let last = pieces.last();
                return Err(format!("no more output after {} pieces: {last:?}", pieces.len()).into());
            }
        }
    }
    Ok(pieces)
}

/// Reads from `port` up to the first prompt, and no byte more.
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

/// Parses the records in `lines`; fails unless each is complete.
fn parsed(lines: &[String]) -> Result<Vec<Record<String>>, Failed> {
    let mut records = Vec::new();
    for line in lines {
        match parse_line(line.trim_end_matches('\n')) {
            Ok(Some(record)) if line.ends_with('\n') => records.push(record),
            other => return Err(format!("no complete record, {other:?}: {line:?}").into()),
        }
    }
    Ok(records)
}

fn is_command(line: &str) -> bool {
    line.contains("\"record\":\"command\"")
}

/// Fails unless a warning reports that some of `what` were lost.
fn ensure_loss_reported(records: &[Record<String>], what: &str) -> Result<(), Failed> {
    let reported = records.iter().any(
        |record| matches!(record, Record::Warning { what: text, .. } if text.contains(what) && text.contains("lost")),
    );
    if reported {
        Ok(())
    } else {
        Err(format!("no warning reports that {what} were lost: {records:?}").into())
    }
}

/// The watchdog's timeout is shorter than the time after which a port counts as stuck: a thread that waits for a port must
/// not monopolise the CPU.
const WATCHED: &str = "run=shell watchdog.timeout_ms=1800";

fn stopped_log(lab: &Lab) -> Result<(), Failed> {
    let _guard = lab.lock_boots();
    let mut machine = Wired::start(lab, &SMP2, WATCHED)?;
    let records = pieces(&machine.records, b'\n')?;
    wait_for_prompt(&machine.log)?;
    // The log is not read from here on. The records show that the commands run nevertheless.
    machine.log.write_all("sysctl\n".repeat(COMMANDS).as_bytes())?;
    let enough = |lines: &[String]| lines.iter().filter(|line| is_command(line)).count() == COMMANDS;
    let mut lines = collect(&records, enough)?;
    // The log is read again.
    let log = pieces(&machine.log, b'\n')?;
    machine.log.write_all(b"poweroff\n")?;
    lines.extend(collect(&records, |_| false)?);
    let log = collect(&log, |_| false)?.concat();
    machine.end(Verdict::Pass)?;
    let records = parsed(&lines)?;
    ensure_loss_reported(&records, "lines")?;
    if !log.contains(" lines lost") {
        return Err("the log does not report lost lines".into());
    }
    Ok(())
}

fn stopped_records(lab: &Lab) -> Result<(), Failed> {
    let _guard = lab.lock_boots();
    let mut machine = Wired::start(lab, &SMP2, WATCHED)?;
    wait_for_prompt(&machine.log)?;
    machine.log.write_all("ps\n".repeat(COMMANDS).as_bytes())?;
    // Each listing contains this thread once.
    let log = pieces(&machine.log, b'\n')?;
    let enough =
        |lines: &[String]| lines.iter().filter(|line| line.contains(" watchdog/1 ")).count() == COMMANDS;
    let mut lines = collect(&log, enough)?;
    let records = pieces(&machine.records, b'\n')?;
    // The port accepts bytes again, and reports the lost records.
    let reported =
        collect(&records, |lines| lines.last().is_some_and(|line| line.contains(" records lost")))?;
    machine.log.write_all(b"poweroff\n")?;
    let mut all = reported;
    all.extend(collect(&records, |_| false)?);
    lines.extend(collect(&log, |_| false)?);
    machine.end(Verdict::Pass)?;
    let records = parsed(&all)?;
    ensure_loss_reported(&records, "records")?;
    if !lines.concat().contains(" records lost") {
        return Err("the log does not report lost records".into());
    }
    match records.last() {
        Some(Record::End { status: Status::Pass, .. }) => Ok(()),
        last => Err(format!("the last record is not the end: {last:?}").into()),
    }
}

/// A reader that is slower than the kernel but never stops gets everything.
fn slow_log(lab: &Lab) -> Result<(), Failed> {
    let _guard = lab.lock_boots();
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
        // Ten times the speed of a real serial line.
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
        false => Err(format!("{listed} of {COMMANDS} listings arrived").into()),
    }
}

/// The ports are never read.
fn stopped_panic(lab: &Lab) -> Result<(), Failed> {
    let _guard = lab.lock_boots();
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
            let reported = evidence.run.log.iter().any(|line| line.contains("failed while reporting: "));
            ensure(&evidence, reported, "the log does not say that the report failed")?;
            let last = evidence.records().last();
            let ended =
                matches!(last, Some(Record::End { reason, .. }) if reason.contains("failed while reporting"));
            ensure(&evidence, ended, "the last record is not the end")?;
        }
    }
    Ok(())
}

/// The only CPU prints its report for several periods of the watchdog.
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

/// Injects an NMI, as the machine's NMI button does.
fn nmi(lab: &Lab, shape: &Shape) -> Result<(), Failed> {
    let _guard = lab.lock_boots();
    let machine = Wired::start(lab, shape, "run=shell")?;
    let records = pieces(&machine.records, b'\n')?;
    wait_for_prompt(&machine.log)?;
    let _log = pieces(&machine.log, b'\n')?;
    (&machine.control).write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"inject-nmi\"}")?;
    let lines = collect(&records, |_| false)?;
    machine.end(Verdict::Panic)?;
    let reported = parsed(&lines)?.into_iter().find_map(|record| match record {
        Record::Fault { message, .. } => Some(message),
        _ => None,
    });
    match reported.as_deref() {
        Some("non-maskable interrupt from outside the kernel") => Ok(()),
        other => Err(format!("the fault is reported as {other:?}").into()),
    }
}
