//! A run that does not end: where every CPU stood.

use crate::qemu::{Child, CpuState};
use crate::symbols::Symbols;

/// What is known of a run that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hang {
    /// Which limit was reached.
    pub reason: String,
    /// Where every CPU stood, or why that is not known.
    pub cpus: Result<Vec<CpuState>, String>,
}

impl Hang {
    /// Looks at a machine that is given up.
    pub(super) fn examine(child: &mut Child, reason: String) -> Self {
        Self { reason, cpus: child.cpu_states() }
    }

    /// One line per CPU: where it stands, by name where `symbols` know it.
    pub fn lines(&self, symbols: Option<&Symbols>) -> Vec<String> {
        match &self.cpus {
            Ok(cpus) => cpus.iter().map(|cpu| line(cpu, symbols)).collect(),
            Err(why) => vec![format!("where the CPUs stood is not known: {why}")],
        }
    }
}

fn line(state: &CpuState, symbols: Option<&Symbols>) -> String {
    let CpuState { cpu, rip, halted, interrupts_on } = state;
    // A halted CPU's instruction pointer is already behind its `hlt`.
    let lookup = if *halted { rip.wrapping_sub(1) } else { *rip };
    let frames = symbols.map(|symbols| symbols.frames(lookup)).unwrap_or_default();
    let place =
        match frames.iter().map(ToString::to_string).reduce(|inner, outer| format!("{inner}, in {outer}")) {
            Some(place) => place,
            None => "?".to_string(),
        };
    let activity = if *halted { "halted" } else { "running" };
    let interrupts = if *interrupts_on { "" } else { ", interrupts off" };
    format!("cpu {cpu}: {activity}{interrupts}, {rip:#018x} {place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_has_a_line() {
        let cpus = vec![
            CpuState { cpu: 0, rip: 0xffff_ffff_8000_1000, halted: false, interrupts_on: false },
            CpuState { cpu: 1, rip: 0xffff_ffff_8000_2000, halted: true, interrupts_on: true },
        ];
        let hang = Hang { reason: "silent for 90 s".into(), cpus: Ok(cpus) };
        assert_eq!(
            hang.lines(None),
            ["cpu 0: running, interrupts off, 0xffffffff80001000 ?", "cpu 1: halted, 0xffffffff80002000 ?",]
        );
    }

    #[test]
    fn a_mute_qemu_is_said_to_be_so() {
        let hang = Hang { reason: String::new(), cpus: Err("QEMU does not answer".into()) };
        assert_eq!(hang.lines(None), ["where the CPUs stood is not known: QEMU does not answer"]);
    }
}
