//! Many boots in a row, to find rare failures: `cargo soak [--boots N] [--smp N] [--memory MIB] [--boot WAY] [--run WHAT]`.
//!
//! The default is a hundred boots on four CPUs, each of which times its jobs. `cargo soak --boots 200 --smp 8 --run
//! test:stress::` stresses the scheduler on more CPUs than most hosts have. With `--pause 60`, QEMU is stopped for a minute in
//! the middle of each boot. With `--deaf 60`, the serial ports are not read for a minute.
//!
//! The test is ignored by default, because it takes minutes. Nothing is retried. The first failure ends it, with the evidence:
//! how the run ended, the state of every CPU, the end of the log.

use clap::Parser;
use ktask_boot::cli::BootChoice;
use ktask_boot::list::CPUS_MAX;
use ktask_boot::run::{Disturbance, DisturbanceKind};
use ktask_tests::lab::{Evidence, Lab, expect_verdict};
use ktask_tests::shape::{SMP4, Shape};
use libtest_mimic::{Arguments, Failed, Trial};
use protocol::exit::Verdict;
use protocol::record::Record;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Options of `cargo soak`; all other arguments belong to the test harness.
#[derive(Parser, Clone, Debug)]
#[command(name = "cargo soak", disable_version_flag = true)]
struct Soak {
    /// Number of boots
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    boots: u32,
    /// Virtual CPUs
    #[arg(long, default_value_t = SMP4.cpus, value_parser = clap::value_parser!(u32).range(1..=i64::from(CPUS_MAX)))]
    smp: u32,
    /// Memory in MiB
    #[arg(long, default_value_t = SMP4.memory_mib, value_parser = clap::value_parser!(u64).range(128..))]
    memory: u64,
    /// Way to the kernel
    #[arg(long, value_enum, default_value_t = SMP4.boot)]
    boot: BootChoice,
    /// Value of the kernel's parameter `run` for each boot
    #[arg(long, default_value = "timing")]
    run: String,
    /// Seconds for which QEMU is stopped in the middle of each boot
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pause: Option<u64>,
    /// Seconds for which nothing reads the serial ports in the middle of each boot
    #[arg(long, conflicts_with = "pause", value_parser = clap::value_parser!(u64).range(1..))]
    deaf: Option<u64>,
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
            if ["--boots", "--smp", "--memory", "--boot", "--run", "--pause", "--deaf"].contains(&name) {
                let takes_next = !argument.contains('=');
                own.push(argument);
                own.extend(arguments.by_ref().take(usize::from(takes_next)));
            } else if argument != "--" {
                harness.push(argument);
            }
        }
        let with_program =
            |list: Vec<String>| std::iter::once(program.clone()).chain(list).collect::<Vec<_>>();
        (Self::parse_from(with_program(own)), Arguments::from_iter(with_program(harness)))
    }

    fn command_line(&self) -> String {
        format!("run={} timing.bytes=16M timing.repeat=1", self.run)
    }

    /// Returns the disturbance of boot `number`. It comes after a different number of lines in each boot; every run prints at
    /// least as many.
    fn disturbance(&self, number: u32) -> Option<Disturbance> {
        let (kind, seconds) = match (self.pause, self.deaf) {
            (Some(seconds), _) => (DisturbanceKind::Stopped, seconds),
            (None, Some(seconds)) => (DisturbanceKind::Unread, seconds),
            (None, None) => return None,
        };
        let (first, spread) = if self.run.starts_with("test") { (15, 200) } else { (10, 14) };
        let after_lines = first + number as usize * 13 % spread;
        Some(Disturbance { after_lines, kind, duration: Duration::from_secs(seconds) })
    }
}

fn main() -> ExitCode {
    let (soak, arguments) = Soak::from_args();
    let name = format!("smp{}::soak::{}_boots_pass", soak.smp, soak.boots);
    let trial = Trial::test(name, move || soak_all(&soak)).with_ignored_flag(true);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn soak_all(soak: &Soak) -> Result<(), Failed> {
    let lab = Lab::open()?;
    lab.has_way(soak.boot)?;
    let shape = Shape { name: "soak", cpus: soak.smp, memory_mib: soak.memory, boot: soak.boot, ..SMP4 };
    let start = Instant::now();
    for number in 1..=soak.boots {
        let evidence = match soak.disturbance(number) {
            Some(disturbance) => {
                let after_lines = disturbance.after_lines;
                let evidence = lab.boot_disturbed(&shape, &soak.command_line(), disturbance)?;
                if evidence.run.log.len() <= after_lines {
                    let lines = evidence.run.log.len();
                    return Err(evidence.fail(format_args!(
                        "boot {number} was not disturbed: it has {lines} lines, not over {after_lines}"
                    )));
                }
                evidence
            }
            None => lab.boot(&shape, &soak.command_line())?,
        };
        let with_number = |failed: Failed| {
            let what = failed.message().unwrap_or_default();
            Failed::from(format!("boot {number} of {}: {what}", soak.boots))
        };
        judge(soak, &evidence).map_err(with_number)?;
        if number % 10 == 0 {
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{number} of {} boots passed, {seconds:.1} s", soak.boots);
        }
    }
    Ok(())
}

fn judge(soak: &Soak, evidence: &Evidence) -> Result<(), Failed> {
    expect_verdict(evidence, Verdict::Pass)?;
    let has_all_cpus = |record: &Record<String>| matches!(record, Record::Boot { cpus_online, .. } if *cpus_online == soak.smp);
    match evidence.records().iter().any(has_all_cpus) {
        true => Ok(()),
        false => Err(evidence.fail("not all CPUs are online")),
    }
}
