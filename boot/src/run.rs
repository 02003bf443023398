//! One run of the kernel: starts QEMU, follows its output and determines how it ended.

mod hang;
mod listen;
mod prelude;

pub use hang::Hang;
pub use listen::{Console, Output};

use crate::failure::Failure;
use crate::qemu::{Child, Machine, Shutdown};
use listen::{Event, Gate, Source};
use prelude::Prelude;
use protocol::exit::{HostStatus, Verdict};
use protocol::record::{Record, parse_line};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Limits for the duration of a run and for the kernel's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From QEMU's start to its end; `None` means no limit.
    pub total: Option<Duration>,
    /// From one line of log or records to the next; `None` means no limit.
    pub silence: Option<Duration>,
}

impl Default for Limits {
    /// Returns generous limits: a healthy run takes seconds, and reaching a limit is a verdict.
    fn default() -> Self {
        Self { total: Some(Duration::from_secs(900)), silence: Some(Duration::from_secs(90)) }
    }
}

/// The output of a run, and how it ended.
#[derive(Debug)]
pub struct Run {
    /// How the run ended.
    pub ending: Ending,
    /// The log, line by line; the text of firmware and loader, if there is any, comes before the kernel's.
    pub log: Vec<String>,
    /// The kernel's lines on the record port, unparsed.
    pub record_lines: Vec<String>,
    /// Records of known kinds.
    pub records: Vec<Record<String>>,
    /// Parse errors of lines on the record port.
    pub damaged: Vec<String>,
    /// Why the machine went off without a verdict, if QEMU reported it.
    pub shutdown: Option<Shutdown>,
    /// QEMU's own messages.
    pub messages: String,
    /// From QEMU's start to the kernel's first line.
    pub first_line: Option<Duration>,
    /// From QEMU's start to its end.
    pub total: Duration,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ending {
    /// The kernel reported a verdict.
    Verdict(Verdict),
    /// QEMU ended without a verdict: its exit status, `None` after a signal. Status 0 means a triple fault, a reset or a
    /// power-off.
    NoVerdict(Option<i32>),
    /// A limit was reached.
    Hang(Hang),
    /// The user or a signal ended the run.
    Interrupted,
}

impl Ending {
    /// Returns the exit status of the host command; the caller handles an interruption.
    pub fn status(&self) -> HostStatus {
        match self {
            Self::Verdict(verdict) => HostStatus::from(*verdict),
            Self::NoVerdict(_) | Self::Interrupted => HostStatus::Qemu,
            Self::Hang(_) => HostStatus::Hang,
        }
    }

    /// Describes the ending in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Verdict(Verdict::Pass) => "pass".into(),
            Self::Verdict(Verdict::Fail) => "the kernel reports failure".into(),
            Self::Verdict(Verdict::Panic) => "the kernel panicked".into(),
            Self::Verdict(Verdict::Watchdog) => "the kernel's watchdog reports a hang".into(),
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

/// A single disturbance of a run.
#[derive(Clone, Copy, Debug)]
pub struct Disturbance {
    /// Number of log lines before the disturbance begins.
    pub after_lines: usize,
    /// The kind of disturbance.
    pub kind: DisturbanceKind,
    /// Its duration.
    pub duration: Duration,
}

/// Kinds of disturbances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisturbanceKind {
    /// QEMU's process is stopped, then continued.
    Stopped,
    /// The serial ports' output is not read.
    Unread,
}

/// Limit for the silence in the report of a kernel that hangs. The kernel ends the machine after the report.
const REPORT_SILENCE: Duration = Duration::from_secs(5);

/// Interval at which a run checks for an interruption.
const TICK: Duration = Duration::from_millis(100);

/// Boots the machine and follows it to its end. Calls `on_line` for every line of the log as it arrives. Setting `interrupt`
/// ends the run.
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
    run_followed(machine, limits, interrupt, &mut Lines(on_line))
}

/// Like [`run`], with all that a [`Follower`] is told.
///
/// # Errors
///
/// When QEMU cannot be started.
pub fn run_followed(
    machine: &Machine,
    limits: Limits,
    interrupt: &AtomicBool,
    follower: &mut dyn Follower,
) -> Result<Run, Failure> {
    run_with(machine, limits, &[interrupt], follower, None, None)
}

/// Is told of a run as it goes.
pub trait Follower {
    /// Receives a line of the log.
    fn line(&mut self, line: &str);
    /// Receives a record.
    fn record(&mut self, _record: &Record<String>) {}
    /// Is called at least every tenth of a second.
    fn tick(&mut self) {}
}

/// A function that receives the lines of the log.
struct Lines<'a>(&'a mut dyn FnMut(&str));

impl Follower for Lines<'_> {
    fn line(&mut self, line: &str) {
        (self.0)(line);
    }
}

/// Like [`run`], with a user at the console.
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
    run_with(machine, limits, &[interrupt, &left], &mut Lines(&mut |_| {}), Some(console), None)
}

/// Like [`run`], with one disturbance, whose duration does not count.
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
    run_with(machine, limits, &[interrupt], &mut Lines(&mut |_| {}), None, Some(disturbance))
}

fn run_with(
    machine: &Machine,
    limits: Limits,
    interrupts: &[&AtomicBool],
    follower: &mut dyn Follower,
    console: Option<Console>,
    disturbance: Option<Disturbance>,
) -> Result<Run, Failure> {
    let start = Instant::now();
    let (mut child, channels) = Child::start(machine)?;
    if disturbance.is_some_and(|disturbance| disturbance.kind == DisturbanceKind::Unread) {
        channels.shrink_pipes();
    }
    let gate = Gate::default();
    let events = listen::start(channels, console, &gate);
    let mut disturb = |child: &mut Child, lines: usize| {
        let due = disturbance.filter(|disturbance| !gate.was_used() && lines >= disturbance.after_lines);
        let Some(Disturbance { kind, duration, .. }) = due else { return };
        let _closed = gate.close();
        if kind == DisturbanceKind::Stopped {
            child.stop();
        }
        std::thread::sleep(duration);
        if kind == DisturbanceKind::Stopped {
            child.resume();
        }
    };
    let mut run = Run::begun();
    let watch = Watch { start, limits, interrupts };
    let mut prelude = Prelude::of(&machine.boot);
    run.ending = follow(&mut run, &mut prelude, &mut child, &events, &watch, follower, &mut disturb);
    child.end();
    run.shutdown = child.shutdown();
    // Lines from before the end may still be in the channel.
    while let Ok(event) = events.recv_timeout(TICK) {
        run.take(event, &mut prelude, start, follower);
    }
    run.total = start.elapsed();
    Ok(run)
}

/// Start, limits and interrupts of a run.
struct Watch<'a> {
    start: Instant,
    limits: Limits,
    interrupts: &'a [&'a AtomicBool],
}

/// Follows a run until QEMU closes every channel by its end, a limit is reached, or an interrupt is set.
fn follow(
    run: &mut Run,
    prelude: &mut Prelude,
    child: &mut Child,
    events: &Receiver<Event>,
    watch: &Watch<'_>,
    follower: &mut dyn Follower,
    disturb: &mut dyn FnMut(&mut Child, usize),
) -> Ending {
    let mut active = ActiveTime::new();
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => {
                run.take(event, prelude, watch.start, follower);
                active.sample(true, false);
            }
            Err(RecvTimeoutError::Disconnected) => return ending(child),
            Err(RecvTimeoutError::Timeout) => active.sample(false, child.is_stopped()),
        }
        follower.tick();
        disturb(child, run.log.len());
        // Relaxed: the flag carries no data, and one tick of delay does not matter.
        if watch.interrupts.iter().any(|interrupt| interrupt.load(Ordering::Relaxed)) {
            return Ending::Interrupted;
        }
        let reached = |limit: Option<Duration>, waited: Duration| limit.filter(|limit| waited > *limit);
        let total =
            reached(watch.limits.total, active.total).map(|limit| format!("not finished after {limit:?}"));
        let silence =
            || reached(watch.limits.silence, active.silence).map(|limit| format!("silent for {limit:?}"));
        if let Some(reason) = total.or_else(silence) {
            let hang = Hang::examine(child, reason);
            run.take_report(child, events, follower);
            return Ending::Hang(hang);
        }
    }
}

/// Time during which QEMU could have sent output, sampled.
///
/// A sample adds at most two ticks, no matter how long ago the last sample was. Time during which QEMU, this process or the
/// host is stopped is therefore not the kernel's silence.
struct ActiveTime {
    /// Time since the start.
    total: Duration,
    /// Time since the last line.
    silence: Duration,
    last_sample: Instant,
}

impl ActiveTime {
    fn new() -> Self {
        Self { total: Duration::ZERO, silence: Duration::ZERO, last_sample: Instant::now() }
    }

    /// Takes a sample: whether a line arrived, and whether QEMU is stopped.
    fn sample(&mut self, has_line: bool, is_stopped: bool) {
        let now = Instant::now();
        let since = (now - self.last_sample).min(2 * TICK);
        self.last_sample = now;
        if !is_stopped {
            self.total += since;
            self.silence += since;
        }
        if has_line {
            self.silence = Duration::ZERO;
        }
    }
}

/// Returns the verdict of a QEMU that has closed its channels.
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
    /// Returns a run that has begun: without output, and interrupted unless it ends otherwise.
    #[must_use]
    pub fn begun() -> Self {
        Self {
            ending: Ending::Interrupted,
            log: Vec::new(),
            record_lines: Vec::new(),
            records: Vec::new(),
            damaged: Vec::new(),
            shutdown: None,
            messages: String::new(),
            first_line: None,
            total: Duration::ZERO,
        }
    }

    /// Has the kernel of a machine that hangs report what each CPU did last, and takes the lines of that report. The machine
    /// ends with it. The report's records say that an NMI came; the hang was found before, so they are not taken.
    fn take_report(&mut self, child: &mut Child, events: &Receiver<Event>, follower: &mut dyn Follower) {
        if let Err(why) = child.interrupt_by_nmi() {
            self.log.push(format!("the kernel cannot be asked for a report: {why}"));
            return;
        }
        let mut last = Instant::now();
        while last.elapsed() < REPORT_SILENCE {
            match events.recv_timeout(TICK) {
                Ok(Event { source: Source::Log, line, .. }) => {
                    last = Instant::now();
                    follower.line(&line);
                    self.log.push(line);
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, event: Event, prelude: &mut Prelude, start: Instant, follower: &mut dyn Follower) {
        let Event { source, line, at } = event;
        match source {
            Source::Log => {
                if prelude.log_is_kernels(&line) {
                    self.first_line.get_or_insert(at - start);
                }
                follower.line(&line);
                self.log.push(line);
            }
            Source::Records if !prelude.record_is_kernels(&line) => {}
            Source::Records => {
                match parse_line(&line) {
                    Ok(record) => {
                        record.iter().for_each(|record| follower.record(record));
                        self.records.extend(record);
                    }
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
