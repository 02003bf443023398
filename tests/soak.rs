//! Many boots in a row, to find rare failures: `cargo soak [--boots N] [--smp N] [--memory MIB] [--boot WAY] [--run WHAT]`.
//!
//! The default is a hundred boots on four CPUs, each of which times its jobs. `cargo soak --boots 200 --smp 8 --run
//! test:stress::` stresses the scheduler on more CPUs than most hosts have. With `--pause 60`, QEMU is stopped for a minute in
//! the middle of each boot. With `--deaf 60`, the serial ports are not read for a minute.
//!
//! `cargo soak --shapes --boots 1000` takes ten shapes of machine in turn. `cargo soak --seeds 1000` runs in-kernel tests of a
//! debug build under chaos, each seed once, several seeds in each boot.
//!
//! The test is ignored by default, because it takes minutes. Nothing is retried. The first failure ends it, with the evidence:
//! seed and scenario, how the run ended, what every CPU did, the end of the log, and the commands that repeat the boot and go on
//! after it.

use clap::Parser;
use ktask_boot::cli::BootChoice;
use ktask_boot::list::CPUS_MAX;
use ktask_boot::run::{Disturbance, DisturbanceKind};
use ktask_tests::lab::{Evidence, Lab, expect_verdict};
use ktask_tests::shape::{self, SMP4, Shape};
use libtest_mimic::{Arguments, Failed, Trial};
use protocol::exit::Verdict;
use protocol::record::Record;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Boots from one line of progress to the next.
const PROGRESS_BOOTS: u32 = 10;

/// What runs under chaos: tests of threads, locks, jobs and memory that are short and measure no time.
const UNDER_CHAOS: &str = "test:stress::,ktask::,sched::a_mutex,huge::parallel,huge::faults";
/// What runs under chaos where instructions count, and each takes longer.
const UNDER_COUNTED_CHAOS: &str = "test:stress::one,stress::comp,ktask::every,ktask::the_first,ktask::nested,ktask::jobs_from,sched::a_mutex";

/// Options of `cargo soak`; all other arguments belong to the test harness.
#[derive(Parser, Clone, Debug)]
#[command(name = "cargo soak", disable_version_flag = true)]
struct Soak {
    /// Number of boots
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    boots: u32,
    /// Number of the first boot, to go on where an earlier soak ended
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    first: u32,
    /// Take ten shapes of machine in turn
    #[arg(long, conflicts_with_all = ["smp", "memory", "boot", "pause", "deaf", "seeds"])]
    shapes: bool,
    /// Run tests of a debug build under chaos, with so many seeds
    #[arg(long, conflicts_with_all = ["boots", "first", "smp", "memory", "boot", "pause", "deaf"], value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// The first seed
    #[arg(long, default_value_t = 1, requires = "seeds")]
    first_seed: u32,
    /// Seeds in one boot
    #[arg(long, default_value_t = 5, requires = "seeds", value_parser = clap::value_parser!(u32).range(1..))]
    per_boot: u32,
    /// Virtual CPUs
    #[arg(long, default_value_t = SMP4.cpus, value_parser = clap::value_parser!(u32).range(1..=i64::from(CPUS_MAX)))]
    smp: u32,
    /// Memory in MiB
    #[arg(long, default_value_t = SMP4.memory_mib, value_parser = clap::value_parser!(u64).range(128..))]
    memory: u64,
    /// Way to the kernel
    #[arg(long, value_enum, default_value_t = SMP4.boot)]
    boot: BootChoice,
    /// Value of the kernel's parameter `run` for each boot; by default timing, and tests under chaos
    #[arg(long)]
    run: Option<String>,
    /// Seconds for which QEMU is stopped in the middle of each boot
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pause: Option<u64>,
    /// Seconds for which nothing reads the serial ports in the middle of each boot
    #[arg(long, conflicts_with = "pause", value_parser = clap::value_parser!(u64).range(1..))]
    deaf: Option<u64>,
}

/// Options of the soak with a value, and without.
const WITH_VALUE: [&str; 11] = [
    "--boots",
    "--first",
    "--seeds",
    "--first-seed",
    "--per-boot",
    "--smp",
    "--memory",
    "--boot",
    "--run",
    "--pause",
    "--deaf",
];
const WITHOUT_VALUE: [&str; 1] = ["--shapes"];

/// One boot of a soak.
struct Step {
    shape: Shape,
    command_line: String,
    disturbance: Option<Disturbance>,
    /// What it is, for people.
    what: String,
    /// The options that repeat it, and those that go on after it.
    repeat: String,
    go_on: String,
}

impl Soak {
    /// Separates its arguments from those of the harness, which cargo passes too (`--ignored` from the alias, `--list`,
    /// names).
    fn from_args() -> (Self, Arguments) {
        let (mut own, mut harness) = (Vec::new(), Vec::new());
        let mut arguments = std::env::args();
        let program = arguments.next().unwrap_or_default();
        while let Some(argument) = arguments.next() {
            let name = argument.split('=').next().unwrap_or_default();
            if WITH_VALUE.contains(&name) {
                let takes_next = !argument.contains('=');
                own.push(argument);
                own.extend(arguments.by_ref().take(usize::from(takes_next)));
            } else if WITHOUT_VALUE.contains(&name) {
                own.push(argument);
            } else if argument != "--" {
                harness.push(argument);
            }
        }
        let with_program =
            |list: Vec<String>| std::iter::once(program.clone()).chain(list).collect::<Vec<_>>();
        (Self::parse_from(with_program(own)), Arguments::from_iter(with_program(harness)))
    }

    /// Returns the name of the trial.
    fn name(&self) -> String {
        match (self.seeds, self.shapes) {
            (Some(seeds), _) => format!("chaos::soak::{seeds}_seeds_pass"),
            (None, true) => format!("shapes::soak::{}_boots_pass", self.boots),
            (None, false) => format!("smp{}::soak::{}_boots_pass", self.smp, self.boots),
        }
    }

    /// Returns the boots, in order.
    fn steps(&self) -> Box<dyn Iterator<Item = Step> + '_> {
        match self.seeds {
            Some(seeds) => {
                let end = u64::from(self.first_seed) + u64::from(seeds);
                let firsts = (u64::from(self.first_seed)..end).step_by(self.per_boot as usize);
                Box::new(firsts.map(move |first| self.chaos_step(first, end)))
            }
            None => Box::new((self.first..=self.boots).map(|number| self.step(number))),
        }
    }

    fn step(&self, number: u32) -> Step {
        let shape = match self.shapes {
            true => shape::of_soak()[number as usize % shape::SOAK.len()],
            false => Shape { name: "soak", cpus: self.smp, memory_mib: self.memory, boot: self.boot, ..SMP4 },
        };
        let run = self.run.as_deref().unwrap_or("timing");
        // Boot N depends on its number alone.
        let with = |first: u32, boots: u32| {
            let shapes = if self.shapes { "--shapes ".into() } else { format!("--smp {} ", self.smp) };
            format!("{shapes}--boots {boots} --first {first} --run {run}")
        };
        Step {
            shape,
            command_line: format!("run={run} timing.bytes=16M timing.repeat=1"),
            disturbance: self.disturbance(number, run),
            what: format!("boot {number} of {}, {}", self.boots, shape.name),
            repeat: with(number, number),
            go_on: with(number + 1, self.boots),
        }
    }

    /// Returns the boot with the seeds from `first` on, below `end`.
    fn chaos_step(&self, first: u64, end: u64) -> Step {
        let count = u64::from(self.per_boot).min(end - first);
        let shape = shape::CHAOS[first as usize / self.per_boot as usize % shape::CHAOS.len()];
        let chosen = if shape.facts().has_counted_time { UNDER_COUNTED_CHAOS } else { UNDER_CHAOS };
        let run = self.run.as_deref().unwrap_or(chosen);
        let with = |first: u64, seeds: u64| {
            let run = self.run.as_ref().map(|run| format!(" --run {run}")).unwrap_or_default();
            format!("--seeds {seeds} --first-seed {first} --per-boot {}{run}", self.per_boot)
        };
        Step {
            shape,
            command_line: format!("run={run} chaos.seed={first} chaos.seeds={count}"),
            disturbance: None,
            what: format!("seeds {first} to {}, {}", first + count - 1, shape.name),
            repeat: with(first, count),
            go_on: with(first + count, end - first - count),
        }
    }

    /// Returns the disturbance of boot `number`. It comes after a different number of lines in each boot; every run prints at
    /// least as many.
    fn disturbance(&self, number: u32, run: &str) -> Option<Disturbance> {
        let (kind, seconds) = match (self.pause, self.deaf) {
            (Some(seconds), _) => (DisturbanceKind::Stopped, seconds),
            (None, Some(seconds)) => (DisturbanceKind::Unread, seconds),
            (None, None) => return None,
        };
        let (first, spread) = if run.starts_with("test") { (15, 200) } else { (10, 14) };
        let after_lines = first + number as usize * 13 % spread;
        Some(Disturbance { after_lines, kind, duration: Duration::from_secs(seconds) })
    }
}

fn main() -> ExitCode {
    let (soak, arguments) = Soak::from_args();
    let trial = Trial::test(soak.name(), move || soak_all(&soak)).with_ignored_flag(true);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn soak_all(soak: &Soak) -> Result<(), Failed> {
    let lab = Lab::open()?;
    lab.has_way(soak.boot)?;
    let start = Instant::now();
    for (boots, step) in (1..).zip(soak.steps()) {
        let result = boot(&lab, &step).and_then(|evidence| judge(&step, &evidence));
        result.map_err(|failed| {
            let (what, repeat, go_on) = (&step.what, &step.repeat, &step.go_on);
            let message = failed.message().unwrap_or_default();
            let commands = format!("to repeat: cargo soak {repeat}\nto go on: cargo soak {go_on}");
            Failed::from(format!("{what}: {message}\n{commands}"))
        })?;
        if boots % PROGRESS_BOOTS == 0 {
            let seconds = start.elapsed().as_secs_f64();
            eprintln!(
                "{} passed, {boots} boots in {seconds:.1} s; to go on: cargo soak {}",
                step.what, step.go_on
            );
        }
    }
    Ok(())
}

fn boot(lab: &Lab, step: &Step) -> Result<Evidence, Failed> {
    let Some(disturbance) = step.disturbance else { return lab.boot(&step.shape, &step.command_line) };
    let evidence = lab.boot_disturbed(&step.shape, &step.command_line, disturbance)?;
    let (lines, after_lines) = (evidence.run.log.len(), disturbance.after_lines);
    match lines > after_lines {
        true => Ok(evidence),
        false => {
            Err(evidence.fail(format_args!("not disturbed: it has {lines} lines, not over {after_lines}")))
        }
    }
}

fn judge(step: &Step, evidence: &Evidence) -> Result<(), Failed> {
    expect_verdict(evidence, Verdict::Pass)?;
    let cpus = step.shape.cpus;
    let has_all_cpus =
        |record: &Record<String>| matches!(record, Record::Boot { cpus_online, .. } if *cpus_online == cpus);
    match evidence.records().iter().any(has_all_cpus) {
        true => Ok(()),
        false => Err(evidence.fail("not all CPUs are online")),
    }
}
