//! Bochs: a second x86 emulator, with x2APIC and the TSC deadline timer.
//!
//! It starts the kernel from an ISO image by GRUB. Time there is a count of instructions, so the guest's times do not depend
//! on the host. One host thread emulates all CPUs. There is no device for the verdict: the last record has it, and the
//! machine powers off by ACPI. `machine` describes the machine, `program` finds
//! Bochs, `guest` runs it.

mod guest;
mod machine;
mod program;

pub use machine::{Model, SMP2, SMP4};
pub use program::Bochs;

use guest::Guest;
use ktask_boot::run::{Ending, Hang, Run};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::{Record, Status, parse_line};
use std::path::Path;
use std::time::{Duration, Instant};

/// Limit for the silence of a kernel, in Bochs's time on a CPU of the host. The longest test takes 10 s.
const SILENCE: Duration = Duration::from_secs(60);

/// Limit for a whole run, in Bochs's time on a CPU of the host.
const TOTAL: Duration = Duration::from_secs(300);

/// Limit for a whole run by the host's clock: also a Bochs that waits for something ends.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Interval of looks at the guest's output.
const TICK: Duration = Duration::from_millis(50);

/// Bochs's last words when the guest powers the machine off.
const POWER_OFF: &str = "ACPI control: soft power off";

impl Bochs {
    /// Starts `model` from the ISO image `iso`, and follows it to its end. `elf` is the kernel in the image.
    ///
    /// # Errors
    ///
    /// When Bochs cannot be started.
    pub fn run(&self, model: &Model, iso: &Path, elf: &Path) -> Result<Run, Failed> {
        let start = Instant::now();
        let mut guest = Guest::start(self, model, iso)?;
        let mut run = Run::begun();
        let hang = follow(&mut run, &mut guest, start);
        let ended = match hang {
            Some(reason) => Ending::Hang(Hang { reason, cpus: guest.cpu_states(elf) }),
            None => Ending::NoVerdict(guest.exit_code()),
        };
        guest.end();
        take_output(&mut run, &mut guest, start);
        let messages = guest.messages();
        run.ending = match verdict(&run.records, &messages) {
            Some(verdict) => Ending::Verdict(verdict),
            None => {
                run.messages = messages;
                ended
            }
        };
        run.total = start.elapsed();
        Ok(run)
    }

    /// Returns the command that starts `model`, with the names of its files.
    pub fn shell_line(&self, model: &Model) -> String {
        format!(
            "{} -q -f bochsrc -rc commands, where commands is the line `c`, and bochsrc:\n{}",
            self.program.display(),
            model.configuration(Path::new("."), Path::new("ktask.iso"), &self.screen_bios)
        )
    }
}

/// Follows a run until Bochs ends. Returns the limit that it reached, if it did.
fn follow(run: &mut Run, guest: &mut Guest, start: Instant) -> Option<String> {
    let mut last_line = Duration::ZERO;
    loop {
        let is_over = guest.has_ended();
        let has_lines = take_output(run, guest, start);
        if is_over {
            return None;
        }
        let used = guest.cpu_time();
        if has_lines {
            last_line = used;
        }
        if used.saturating_sub(last_line) > SILENCE {
            return Some(format!("silent for {SILENCE:?} of Bochs's time"));
        }
        if used > TOTAL {
            return Some(format!("not finished after {TOTAL:?} of Bochs's time"));
        }
        if start.elapsed() > PATIENCE {
            return Some(format!("not finished after {PATIENCE:?}"));
        }
        std::thread::sleep(TICK);
    }
}

/// Moves new lines of both ports to `run`; returns whether there were any.
fn take_output(run: &mut Run, guest: &mut Guest, start: Instant) -> bool {
    let (log, records) = guest.lines();
    let has_lines = !log.is_empty() || !records.is_empty();
    if !log.is_empty() {
        run.first_line.get_or_insert(start.elapsed());
    }
    run.log.extend(log);
    for line in records {
        match parse_line(&line) {
            Ok(record) => run.records.extend(record),
            Err(error) => run.damaged.push(error.to_string()),
        }
        run.record_lines.push(line);
    }
    has_lines
}

/// Returns the verdict of a machine that powered itself off, from its last record. `messages` are Bochs's.
fn verdict(records: &[Record<String>], messages: &str) -> Option<Verdict> {
    let status = match records.last() {
        Some(Record::End { status, .. }) if messages.contains(POWER_OFF) => *status,
        _ => return None,
    };
    Some(if status == Status::Pass { Verdict::Pass } else { Verdict::Fail })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(records: &[&str], messages: &str) -> Option<Verdict> {
        let records: Vec<_> = records.iter().filter_map(|line| parse_line(line).unwrap()).collect();
        verdict(&records, messages)
    }

    #[test]
    fn verdict_needs_the_last_record_and_the_power_off() {
        const PASS: &str = r#"{"record":"end","t_ns":1,"status":"pass","reason":""}"#;
        const FAIL: &str = r#"{"record":"end","t_ns":1,"status":"fail","reason":"x"}"#;
        const WARNING: &str = r#"{"record":"warning","t_ns":1,"what":"x"}"#;
        let off = format!("00468401390p[ACPI  ] >>PANIC<< {POWER_OFF}");
        assert_eq!(of(&[PASS], &off), Some(Verdict::Pass));
        assert_eq!(of(&[WARNING, FAIL], &off), Some(Verdict::Fail));
        assert_eq!(of(&[PASS], ""), None);
        assert_eq!(of(&[PASS, WARNING], &off), None);
        assert_eq!(of(&[], &off), None);
    }
}
