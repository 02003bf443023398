//! One run of the kernel: start QEMU, follow what it says, find out how it ended.

mod hang;
mod listen;

pub use hang::Hang;
pub use listen::{Console, Output};

use crate::failure::Failure;
use crate::qemu::{Child, Machine, Shutdown};
use listen::{Event, Gate, Source};
use protocol::exit::{HostStatus, Verdict};
use protocol::record::{Record, parse_line};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a run may take, and how long the kernel may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From QEMU's start to its end; `None` is no limit.
    pub total: Option<Duration>,
    /// From one line of log or records to the next; `None` is no limit.
    pub silence: Option<Duration>,
}

impl Default for Limits {
    /// Generous: a healthy run takes seconds, and reaching a limit is a verdict, not a retry.
    fn default() -> Self {
        Self { total: Some(Duration::from_secs(900)), silence: Some(Duration::from_secs(90)) }
    }
}

/// All that a run said, and how it ended.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub ending: Ending,
    /// The kernel's log, line by line.
    pub log: Vec<String>,
    /// The records, as they came.
    pub record_lines: Vec<String>,
    /// The records that we understand.
    pub records: Vec<Record<String>>,
    /// Why each line on the record port that is none was refused.
    pub damaged: Vec<String>,
    /// Why the machine went off without a verdict, if QEMU told.
    pub shutdown: Option<Shutdown>,
    /// What QEMU itself said.
    pub messages: String,
    /// From QEMU's start to the kernel's first line.
    pub first_line: Option<Duration>,
    /// From QEMU's start to its end.
    pub total: Duration,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ending {
    /// The kernel said so.
    Verdict(Verdict),
    /// QEMU ended without a verdict: its exit status, `None` after a signal. 0 is a triple fault, a reset or a power-off.
    NoVerdict(Option<i32>),
    /// A limit was reached.
    Hang(Hang),
    /// The user, or a signal, wanted an end.
    Interrupted,
}

impl Ending {
    /// The exit status of the host command; an interruption is told apart by the caller.
    pub fn status(&self) -> HostStatus {
        match self {
            Self::Verdict(verdict) => HostStatus::from(*verdict),
            Self::NoVerdict(_) | Self::Interrupted => HostStatus::Qemu,
            Self::Hang(_) => HostStatus::Hang,
        }
    }

    /// In a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Verdict(Verdict::Pass) => "pass".into(),
            Self::Verdict(Verdict::Fail) => "the kernel says fail".into(),
            Self::Verdict(Verdict::Panic) => "the kernel panicked".into(),
            Self::Verdict(Verdict::Watchdog) => "the kernel's watchdog found a hang".into(),
            Self::NoVerdict(Some(0)) => {
                "QEMU ended with status 0, which is no verdict: a triple fault, a reset or a power-off".into()
            }
            Self::NoVerdict(Some(status)) => format!("QEMU ended with status {status}, which is no verdict"),
            Self::NoVerdict(None) => "QEMU was ended by a signal".into(),
            Self::Hang(hang) => hang.reason.clone(),
            Self::Interrupted => "interrupted".into(),
        }
    }
}

/// What disturbs a run, once.
#[derive(Clone, Copy, Debug)]
pub struct Disturbance {
    /// Lines of the log before it begins.
    pub after_lines: usize,
    /// What is done to the machine.
    pub kind: DisturbanceKind,
    /// How long it lasts.
    pub lasts: Duration,
}

/// What is done to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisturbanceKind {
    /// QEMU is stopped, and continued.
    Stopped,
    /// Nothing reads what the serial ports send.
    Deaf,
}

/// How often a run looks whether it is to be interrupted.
const TICK: Duration = Duration::from_millis(100);

/// Boots the machine and follows it to its end. `on_line` sees every line of the log as it comes; `interrupt` ends
/// the run.
///
/// # Errors
///
/// When QEMU cannot be started.
pub fn run(
    machine: &Machine,
    limits: Limits,
    interrupt: &AtomicBool,
    on_line: &mut dyn FnMut(&str),
) -> Result<Run, Failure> {
    run_with(machine, limits, &[interrupt], on_line, None, None)
}

/// As [`run`], with someone who types.
///
/// # Errors
///
/// When QEMU cannot be started.
pub fn converse(
    machine: &Machine,
    limits: Limits,
    interrupt: &AtomicBool,
    console: Console,
) -> Result<Run, Failure> {
    let left = Arc::clone(&console.left);
    run_with(machine, limits, &[interrupt, &left], &mut |_| {}, Some(console), None)
}

/// As [`run`], disturbed once. The time of the disturbance does not count.
///
/// # Errors
///
/// When QEMU cannot be started.
pub fn run_disturbed(
    machine: &Machine,
    limits: Limits,
    interrupt: &AtomicBool,
    disturbance: Disturbance,
) -> Result<Run, Failure> {
    run_with(machine, limits, &[interrupt], &mut |_| {}, None, Some(disturbance))
}

fn run_with(
    machine: &Machine,
    limits: Limits,
    interrupts: &[&AtomicBool],
    on_line: &mut dyn FnMut(&str),
    console: Option<Console>,
    disturbance: Option<Disturbance>,
) -> Result<Run, Failure> {
    let start = Instant::now();
    let (mut child, channels) = Child::start(machine)?;
    if disturbance.is_some_and(|disturbance| disturbance.kind == DisturbanceKind::Deaf) {
        channels.hold_little();
    }
    let gate = Gate::default();
    let events = listen::start(channels, console, &gate);
    let mut disturb = |child: &mut Child, lines: usize| {
        let due = disturbance.filter(|disturbance| !gate.was_used() && lines >= disturbance.after_lines);
        let Some(Disturbance { kind, lasts, .. }) = due else { return };
        let _closed = gate.close();
        if kind == DisturbanceKind::Stopped {
            child.stop();
        }
        std::thread::sleep(lasts);
        if kind == DisturbanceKind::Stopped {
            child.go_on();
        }
    };
    let mut run = Run {
        ending: Ending::Interrupted,
        log: Vec::new(),
        record_lines: Vec::new(),
        records: Vec::new(),
        damaged: Vec::new(),
        shutdown: None,
        messages: String::new(),
        first_line: None,
        total: Duration::ZERO,
    };
    let watch = Watch { start, limits, interrupts };
    run.ending = follow(&mut run, &mut child, &events, &watch, on_line, &mut disturb);
    child.end();
    run.shutdown = child.shutdown();
    // What was said before the end may still be on its way.
    while let Ok(event) = events.recv_timeout(TICK) {
        run.take(event, start, on_line);
    }
    run.total = start.elapsed();
    Ok(run)
}

/// Since when, how long, and until whose word a run is followed.
struct Watch<'a> {
    start: Instant,
    limits: Limits,
    interrupts: &'a [&'a AtomicBool],
}

/// Until every channel is closed, which QEMU's end does, or a limit is reached.
fn follow(
    run: &mut Run,
    child: &mut Child,
    events: &Receiver<Event>,
    watch: &Watch<'_>,
    on_line: &mut dyn FnMut(&str),
    disturb: &mut dyn FnMut(&mut Child, usize),
) -> Ending {
    let mut patience = Patience::new();
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => {
                run.take(event, watch.start, on_line);
                patience.look(true, false);
            }
            Err(RecvTimeoutError::Disconnected) => return ending(child),
            Err(RecvTimeoutError::Timeout) => patience.look(false, child.is_stopped()),
        }
        disturb(child, run.log.len());
        // Relaxed: the flag carries no data, and a tick more or less does not matter.
        if watch.interrupts.iter().any(|interrupt| interrupt.load(Ordering::Relaxed)) {
            return Ending::Interrupted;
        }
        let reached = |limit: Option<Duration>, waited: Duration| limit.filter(|limit| waited > *limit);
        if let Some(limit) = reached(watch.limits.total, patience.total) {
            return Ending::Hang(Hang::examine(child, format!("not done after {limit:?}")));
        }
        if let Some(limit) = reached(watch.limits.silence, patience.silence) {
            return Ending::Hang(Hang::examine(child, format!("silent for {limit:?}")));
        }
    }
}

/// The time in which QEMU could have said something, by looks at it.
///
/// A look counts for little more than a tick, however long ago the last one was. Time for which QEMU, this process or the
/// host is stopped is not the kernel's silence.
struct Patience {
    /// Since the start.
    total: Duration,
    /// Since the last line.
    silence: Duration,
    last_look: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { total: Duration::ZERO, silence: Duration::ZERO, last_look: Instant::now() }
    }

    /// Looks: whether something was heard, and whether QEMU is stopped.
    fn look(&mut self, is_heard: bool, is_stopped: bool) {
        let now = Instant::now();
        let since = (now - self.last_look).min(2 * TICK);
        self.last_look = now;
        if !is_stopped {
            self.total += since;
            self.silence += since;
        }
        if is_heard {
            self.silence = Duration::ZERO;
        }
    }
}

/// The verdict of a QEMU that has closed its channels.
fn ending(child: &mut Child) -> Ending {
    let start = Instant::now();
    loop {
        if let Some(status) = child.exit_status() {
            let code = status.code();
            return code.and_then(Verdict::from_qemu_status).map_or(Ending::NoVerdict(code), Ending::Verdict);
        }
        if start.elapsed() > Duration::from_secs(10) {
            return Ending::Hang(Hang::examine(
                child,
                "QEMU closed its serial ports and does not end".into(),
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Run {
    fn take(&mut self, event: Event, start: Instant, on_line: &mut dyn FnMut(&str)) {
        let Event { source, line, at } = event;
        match source {
            Source::Log => {
                self.first_line.get_or_insert(at - start);
                on_line(&line);
                self.log.push(line);
            }
            Source::Records => {
                match parse_line(&line) {
                    Ok(record) => self.records.extend(record),
                    Err(error) => self.damaged.push(error.to_string()),
                }
                self.record_lines.push(line);
            }
            Source::Qemu => {
                self.messages.push_str(&line);
                self.messages.push('\n');
            }
        }
    }
}

#[cfg(test)]
mod tests;
