//! Boots kernels, one at a time, and keeps the evidence of each run.

use crate::bochs::{Bochs, Model};
use crate::dialogue::{self, Dialogue};
use crate::shape::{SMP2, Shape};
use crate::standin::{Handover, entries};
use crate::ways::Ways;
use ktask_boot::cli::{AccelChoice, BootChoice};
use ktask_boot::image;
use ktask_boot::kernel::{Profile, workspace};
use ktask_boot::qemu::{Boot, Machine, Program, choose, program};
use ktask_boot::report::{Report, host_cores};
use ktask_boot::run::{Disturbance, Ending, Limits, Run, converse, run, run_disturbed};
use ktask_boot::size::Size;
use ktask_boot::start;
use ktask_boot::symbols::{self, KernelTest, Symbols};
use ktask_boot::system::{Real, System};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Limit for the silence of a kernel under test. A healthy kernel prints a line every second, an oversubscribed one every few.
const SILENCE: Duration = Duration::from_secs(60);

/// Limit for a whole run.
const TOTAL: Duration = Duration::from_secs(300);

/// Number of log lines in a failure message.
const TAIL_LINES: usize = 40;

/// The kernel under test, the emulators, and the lock that serialises boots.
#[derive(Clone)]
pub struct Lab {
    qemu: Program,
    /// The second emulator, if the user names one.
    second: Option<Program>,
    elf: PathBuf,
    /// The debug build, made for the first test that needs it, or why it does not build.
    debug_elf: Arc<OnceLock<Result<PathBuf, String>>>,
    /// Bochs, found for the first test that needs it, or what is missing.
    bochs: Arc<OnceLock<Result<Bochs, String>>>,
    /// What booting from images needs.
    ways: Arc<Ways>,
    /// Held during a boot: two guests at a time would slow each other down.
    boot_lock: Arc<Mutex<()>>,
}

/// The variable that names a second QEMU.
const SECOND: &str = "KTASK_QEMU_SECOND";

/// The first major version of QEMU whose translator has x2APIC.
const X2APIC_SINCE: u32 = 9;

/// Output and report of a run.
pub struct Evidence {
    /// The run.
    pub run: Run,
    /// The report of the run, with names for addresses.
    pub report: Report,
    /// The name of the machine's shape.
    scenario: &'static str,
    /// The kernel's command line.
    command_line: String,
}

impl Lab {
    /// Builds the kernel if necessary, and finds the emulator.
    ///
    /// # Errors
    ///
    /// A message when a prerequisite is missing or the kernel does not build.
    pub fn open() -> Result<Self, String> {
        let (elf, qemu) =
            ktask_boot::command::prepare(&Real, Profile::Kernel).map_err(|failure| failure.message)?;
        let second = Real.var(SECOND).map(|path| {
            program::inspect(&Real, Path::new(&path))
                .map_err(|reason| format!("{SECOND}={path} is not usable: {reason}"))
        });
        let second = second.transpose()?;
        Ok(Self {
            qemu,
            second,
            elf,
            debug_elf: Arc::default(),
            bochs: Arc::default(),
            ways: Arc::default(),
            boot_lock: Arc::new(Mutex::new(())),
        })
    }

    /// Returns a lab with a second QEMU, newer than the system's: the one that a variable names, or that `.ci/second-qemu`
    /// unpacked.
    ///
    /// # Errors
    ///
    /// The reason why there is none, or none is needed.
    pub fn on_second_qemu(&self) -> Result<Self, String> {
        let unpacked = workspace().join("target/qemu-second/usr/bin").join(program::NAME);
        let qemu = match &self.second {
            Some(second) => second.clone(),
            None if self.has_x2apic() => {
                return Err(format!(
                    "the first QEMU, {}, is new enough: it runs the same tests",
                    self.qemu.version
                ));
            }
            None => program::inspect(&Real, &unpacked).map_err(|reason| {
                format!(
                    "{}: {reason}; .ci/second-qemu unpacks one there if Debian's backports have it",
                    unpacked.display()
                )
            })?,
        };
        Ok(Self { qemu, ..self.clone() })
    }

    /// Returns a lab with a QEMU whose translator has x2APIC: the first one or the second.
    ///
    /// # Errors
    ///
    /// The reason why there is none.
    pub fn with_x2apic(&self) -> Result<Self, String> {
        if self.has_x2apic() { Ok(self.clone()) } else { self.on_second_qemu() }
    }

    /// Checks that KVM runs a small guest on this processor.
    ///
    /// # Errors
    ///
    /// The reason why it does not.
    pub fn kvm_runs(&self, cpu_model: &str) -> Result<(), String> {
        choose(AccelChoice::Kvm, &self.qemu, Some(cpu_model)).map(drop).map_err(|failure| failure.message)
    }

    /// Checks that a way to the kernel is available; installs what it needs, with the user's consent.
    ///
    /// # Errors
    ///
    /// One line: what is missing, and the command that installs it.
    pub fn has_way(&self, choice: BootChoice) -> Result<(), String> {
        self.ways.provide(choice).map(drop)
    }

    /// Returns the way to `kernel` for `shape`, with an image that no other run uses at the same time.
    fn way(&self, shape: &Shape, kernel: &Path, command_line: &str) -> Result<Boot, Failed> {
        let toolchain = self.ways.provide(shape.boot)?;
        let name = start::image_name(shape.name, shape.profile, command_line);
        Ok(start::prepare(&Real, shape.boot, toolchain.as_ref(), kernel, command_line, &name)?)
    }

    fn has_x2apic(&self) -> bool {
        self.qemu.major().is_some_and(|major| major >= X2APIC_SINCE)
    }

    /// Returns the kernel's ELF file in `profile`.
    fn elf(&self, profile: Profile) -> Result<PathBuf, String> {
        match profile {
            Profile::Kernel => Ok(self.elf.clone()),
            Profile::KernelDebug => {
                let built = self.debug_elf.get_or_init(|| {
                    let prepared = ktask_boot::command::prepare(&Real, profile);
                    prepared.map(|(elf, _)| elf).map_err(|failure| failure.message)
                });
                built.clone()
            }
        }
    }

    /// Returns the in-kernel tests of the kernel in `profile`. Debug kernels have more than others.
    ///
    /// # Errors
    ///
    /// A message when the kernel does not build or its file cannot be read.
    pub fn tests(&self, profile: Profile) -> Result<Vec<KernelTest>, String> {
        symbols::tests(&self.elf(profile)?)
    }

    /// Locks out other boots, for a test that starts QEMU itself, until the guard is dropped.
    pub fn lock_boots(&self) -> std::sync::MutexGuard<'_, ()> {
        self.boot_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Boots `shape` with a kernel command line and waits for the end.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started.
    pub fn boot(&self, shape: &Shape, command_line: &str) -> Result<Evidence, Failed> {
        self.boot_within(shape, command_line, Limits { total: Some(TOTAL), silence: Some(SILENCE) })
    }

    /// Like [`Lab::boot`]; calls `on_line` for every line of the log as it arrives.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started.
    pub fn boot_watched(
        &self,
        shape: &Shape,
        command_line: &str,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Evidence, Failed> {
        let machine = self.machine(shape, command_line)?;
        let _guard = self.boot_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = Limits { total: Some(TOTAL), silence: Some(SILENCE) };
        let run = run(&machine, limits, &AtomicBool::new(false), on_line)?;
        Self::evidence(run, &machine, shape)
    }

    /// Like [`Lab::boot`], with the test's limits.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started.
    pub fn boot_within(&self, shape: &Shape, command_line: &str, limits: Limits) -> Result<Evidence, Failed> {
        let machine = self.machine(shape, command_line)?;
        let _guard = self.boot_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let run = run(&machine, limits, &AtomicBool::new(false), &mut |_| {})?;
        Self::evidence(run, &machine, shape)
    }

    /// Boots `shape` with `handover` in place of its firmware and loader.
    ///
    /// # Errors
    ///
    /// When the ROM cannot be made, or QEMU cannot be started.
    pub fn boot_handover(&self, shape: &Shape, handover: &Handover) -> Result<Evidence, Failed> {
        let mut machine = self.machine(shape, "")?;
        let mut rom = tempfile::Builder::new().prefix("ktask-rom-").tempfile()?;
        let entry = match handover.loader {
            Some(_) => entries::multiboot2(&machine.kernel)?,
            None => entries::pvh(&machine.kernel)?,
        };
        rom.write_all(&handover.rom(entry)?)?;
        machine.extra.extend(["-bios".to_string(), rom.path().display().to_string()]);
        self.run(&machine, shape)
    }

    /// Like [`Lab::boot`], disturbed once.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started.
    pub fn boot_disturbed(
        &self,
        shape: &Shape,
        command_line: &str,
        disturbance: Disturbance,
    ) -> Result<Evidence, Failed> {
        let machine = self.machine(shape, command_line)?;
        let _guard = self.boot_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = Limits { total: Some(TOTAL), silence: Some(SILENCE) };
        let run = run_disturbed(&machine, limits, &AtomicBool::new(false), disturbance)?;
        Self::evidence(run, &machine, shape)
    }

    /// Returns Bochs, which the first call finds or installs.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn bochs(&self) -> Result<&Bochs, String> {
        self.bochs.get_or_init(|| Bochs::provide(&Real)).as_ref().map_err(Clone::clone)
    }

    /// Boots `model` of Bochs by GRUB with a kernel command line and waits for the end.
    ///
    /// # Errors
    ///
    /// When Bochs is missing or cannot be started, or the image cannot be made.
    pub fn boot_bochs(&self, model: &Model, command_line: &str) -> Result<Evidence, Failed> {
        let bochs = self.bochs()?;
        // The machine as QEMU would have it: for the report, whose command is then replaced.
        let shape = Shape { cpus: model.cpus, memory_mib: model.memory_mib, ..SMP2 };
        let machine = self.machine(&shape, command_line)?;
        let folder = tempfile::Builder::new().prefix("ktask-bochs-").tempdir()?;
        let iso = folder.path().join("ktask.iso");
        image::write(&Real, image::Kind::Iso, None, &machine.kernel, command_line, &iso)
            .map_err(|failure| failure.message)?;
        let _guard = self.boot_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let run = bochs.run(model, &iso, &machine.kernel)?;
        let mut evidence = Self::evidence(run, &machine, &shape)?;
        let image = format!("cargo run -- image --kind iso --append '{command_line}' -o ktask.iso");
        evidence.report.machine.command = format!("{image}; {}", bochs.shell_line(model));
        Ok(evidence)
    }

    fn run(&self, machine: &Machine, shape: &Shape) -> Result<Evidence, Failed> {
        let _guard = self.boot_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = Limits { total: Some(TOTAL), silence: Some(SILENCE) };
        let run = run(machine, limits, &AtomicBool::new(false), &mut |_| {})?;
        Self::evidence(run, machine, shape)
    }

    /// Boots `shape` to the shell, runs `talk` on it, and waits for the end.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started, or `talk` fails; its error then has the evidence.
    pub fn converse(
        &self,
        shape: &Shape,
        command_line: &str,
        talk: impl FnOnce(&mut Dialogue) -> Result<(), String> + Send + 'static,
    ) -> Result<Evidence, Failed> {
        let machine = self.machine(shape, &format!("{command_line} run=shell"))?;
        let _guard = self.boot_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let (console, result) = dialogue::start(talk);
        let limits = Limits { total: Some(TOTAL), silence: Some(SILENCE) };
        let run = converse(&machine, limits, &AtomicBool::new(false), console)?;
        let evidence = Self::evidence(run, &machine, shape)?;
        match result.recv() {
            Ok(Ok(())) => Ok(evidence),
            Ok(Err(what)) => Err(evidence.fail(what)),
            Err(_) => Err(evidence.fail("the kernel ended before its first prompt")),
        }
    }

    fn evidence(run: Run, machine: &Machine, shape: &Shape) -> Result<Evidence, Failed> {
        let symbols = Symbols::load(&machine.kernel)?;
        let report = Report::new(&run, machine, host_cores(), Some(&symbols));
        let command_line = machine.command_line.clone();
        Ok(Evidence { run, report, scenario: shape.name, command_line })
    }

    /// Returns the machine, for a test that starts QEMU itself.
    ///
    /// # Errors
    ///
    /// When its kernel cannot be built, or the command line selects tests that the kernel does not have.
    pub fn machine(&self, shape: &Shape, command_line: &str) -> Result<Machine, Failed> {
        if let Some(pattern) = unused_pattern(command_line, &self.tests(shape.profile)?) {
            return Err(format!("no in-kernel test has `{pattern}` in its name").into());
        }
        let kernel = self.elf(shape.profile)?;
        let command_line = &with_patience(shape, &with_tail(shape, command_line));
        Ok(Machine {
            qemu: self.qemu.clone(),
            boot: self.way(shape, &kernel, command_line)?,
            kernel,
            cpus: shape.cpus,
            memory: Size::from_mib(shape.memory_mib),
            nodes: shape.nodes,
            accel: shape.accel,
            cpu_model: shape.cpu_model.map(str::to_string),
            command_line: command_line.to_string(),
            debugger: false,
            exit_device: shape.exit_device,
            extra: shape.extra.iter().map(|word| (*word).to_string()).collect(),
        })
    }
}

impl Evidence {
    /// Returns the kernel's command line.
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// Returns the records of the run.
    pub fn records(&self) -> &[Record<String>] {
        &self.run.records
    }

    /// Returns a failure with the evidence: scenario and seed, how the run ended, the states of CPUs, what each did last, the end
    /// of the log, and the command that repeats the run.
    pub fn fail(&self, what: impl std::fmt::Display) -> Failed {
        Failed::from(format!("{what}\n{self}"))
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "scenario: {}, with `{}`", self.scenario, self.command_line)?;
        writeln!(f, "seed: {}", seed(&self.command_line, &self.run.log))?;
        writeln!(f, "ending: {}", self.report.ending)?;
        for line in &self.report.trouble {
            writeln!(f, "{line}")?;
        }
        for warning in &self.report.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        let (events, log): (Vec<_>, Vec<_>) =
            marked_events(&self.run.log).partition(|(is_event, _)| *is_event);
        match events.is_empty() {
            true => writeln!(f, "the kernel told no events of its cpus")?,
            false => writeln!(f, "the last events of each cpu:")?,
        }
        for (_, line) in &events {
            writeln!(f, "  {line}")?;
        }
        let tail = &log[log.len().saturating_sub(TAIL_LINES)..];
        writeln!(f, "the last {} of {} other lines of the log:", tail.len(), log.len())?;
        for (_, line) in tail {
            writeln!(f, "  {line}")?;
        }
        write!(f, "to repeat: {}", self.report.machine.command)
    }
}

/// Returns `command_line`, with the parameter that makes each CPU keep its last events. Not where instructions are counted,
/// nor where the test has its own parameters of the trace.
fn with_tail(shape: &Shape, command_line: &str) -> String {
    match shape.facts().has_counted_time || command_line.contains("trace.") {
        true => command_line.to_string(),
        false => format!("{command_line} trace.tail=on").trim_start().to_string(),
    }
}

/// Returns `command_line`, with time for the start of CPUs that the host cannot run at once, if it is no part of the test.
fn with_patience(shape: &Shape, command_line: &str) -> String {
    match shape.cpus < 8 || command_line.contains("smp.ap_timeout_ms") {
        true => command_line.to_string(),
        false => format!("{command_line} smp.ap_timeout_ms=60000").trim_start().to_string(),
    }
}

/// Returns the last seed that the log names, else that of the command line, else that there is none.
fn seed<'t>(command_line: &'t str, log: &'t [String]) -> &'t str {
    let told = log
        .iter()
        .rev()
        .map(|line| line.trim_start_matches("# "))
        .find(|line| line.starts_with("chaos.seed="));
    let asked = || command_line.split(' ').find(|word| word.starts_with("chaos.seed="));
    told.or_else(asked).unwrap_or("none; nothing is random")
}

/// Pairs each line with whether it belongs to the last events of the CPUs.
fn marked_events(log: &[String]) -> impl Iterator<Item = (bool, &str)> {
    let mut is_event = false;
    log.iter().map(move |line| {
        let text = line.strip_prefix("# ").unwrap_or(line);
        let is_first = text.starts_with("cpu ") && text.ends_with(" trace events:");
        is_event = is_first || is_event && text.starts_with("    ");
        (is_event, line.as_str())
    })
}

/// Returns the first pattern of `run=test:PATTERN,...` that selects none of the tests `names`.
fn unused_pattern<'c>(command_line: &'c str, tests: &[KernelTest]) -> Option<&'c str> {
    let patterns = command_line.split(' ').find_map(|word| word.strip_prefix("run=test:"))?;
    let is_used = |pattern: &str| tests.iter().any(|test| protocol::ktest::matches(pattern, &test.listed));
    patterns.split(',').find(|pattern| !is_used(pattern))
}

/// Fails unless the log and the boot record name x2APIC and the TSC deadline timer.
///
/// # Errors
///
/// The failure, with the evidence.
pub fn expect_new_timers(evidence: &Evidence) -> Result<(), Failed> {
    let has_line = evidence.run.log.iter().any(|line| line.contains("x2apic, tsc-deadline timer"));
    let fields = [r#""apic":"x2apic""#, r#""timer":"tsc-deadline""#];
    let has_record =
        evidence.run.record_lines.iter().any(|line| fields.iter().all(|field| line.contains(field)));
    match has_line && has_record {
        true => Ok(()),
        false => Err(evidence.fail("the log or the boot record lacks x2apic or tsc-deadline")),
    }
}

/// Fails unless the run ended with `verdict` and wrote no damaged record.
///
/// # Errors
///
/// The failure, with the evidence.
pub fn expect_verdict(evidence: &Evidence, verdict: Verdict) -> Result<(), Failed> {
    match evidence.run.ending {
        Ending::Verdict(actual) if actual == verdict => {}
        _ => return Err(evidence.fail(format_args!("the run did not end with {verdict:?}"))),
    }
    match evidence.run.damaged.is_empty() {
        true => Ok(()),
        false => Err(evidence.fail("damaged records")),
    }
}

#[cfg(test)]
mod tests {
    use super::{KernelTest, marked_events, seed, unused_pattern, with_patience, with_tail};
    use crate::shape::{COUNTED, SMP2, Shape};

    #[test]
    fn patterns_that_select_nothing_are_found() {
        let test = |name: &str| KernelTest { name: name.into(), listed: name.into(), needs: Vec::new() };
        let tests = [test("mm::pages"), test("sched::shares")];
        for (command_line, expected) in [
            ("run=test:mm::,share log.level=debug", None),
            ("run=test:=mm::pages", None),
            ("run=none", None),
            ("run=test", None),
            ("x=1 run=test:mm::,heap::", Some("heap::")),
            ("run=test:=mm::page", Some("=mm::page")),
        ] {
            assert_eq!(unused_pattern(command_line, &tests), expected, "{command_line}");
        }
    }

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn events_are_told_from_the_log() {
        let log = lines(&[
            "boot",
            "cpu 0, the last of 9 trace events:",
            "        0.1 main: halts",
            "cpu 1, the last of 1 trace events:",
            "        0.1 idle/1: halts",
            "rip 0x1",
            "# cpu 0, the last of 12 trace events:",
            "#         0.2 main: halts",
            "not ok 1 a::b",
        ]);
        let events: Vec<_> = marked_events(&log).map(|(is_event, _)| is_event).collect();
        assert_eq!(events, [false, true, true, true, true, false, true, true, false]);
    }

    #[test]
    fn the_seed_is_the_last_one_that_ran() {
        let log = lines(&["chaos.seed=5: 3 points", "# chaos.seed=6: 4 points", "other"]);
        assert_eq!(seed("run=test chaos.seed=5 chaos.seeds=9", &log), "chaos.seed=6: 4 points");
        assert_eq!(seed("run=test chaos.seed=5 chaos.seeds=9", &[]), "chaos.seed=5");
        assert_eq!(seed("run=test", &[]), "none; nothing is random");
    }

    #[test]
    fn many_cpus_have_time_to_start() {
        let many = Shape { cpus: 8, ..SMP2 };
        assert_eq!(with_patience(&many, ""), "smp.ap_timeout_ms=60000");
        assert_eq!(with_patience(&many, "run=none"), "run=none smp.ap_timeout_ms=60000");
        assert_eq!(with_patience(&many, "smp.ap_timeout_ms=10"), "smp.ap_timeout_ms=10");
        assert_eq!(with_patience(&SMP2, "run=none"), "run=none");
    }

    #[test]
    fn cpus_keep_their_last_events_unless_that_counts() {
        assert_eq!(with_tail(&SMP2, ""), "trace.tail=on");
        assert_eq!(with_tail(&SMP2, "run=none"), "run=none trace.tail=on");
        assert_eq!(with_tail(&SMP2, "trace.enabled=on"), "trace.enabled=on");
        assert_eq!(with_tail(&COUNTED, "run=none"), "run=none");
    }
}
