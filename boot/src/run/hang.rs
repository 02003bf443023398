//! A run that does not end: the state of every CPU.

use crate::qemu::{Child, CpuState};
use crate::symbols::Symbols;

/// Facts about a run that reached a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hang {
    /// Which limit was reached.
    pub reason: String,
    /// State of every CPU, or why it is unknown.
    pub cpus: Result<Vec<CpuState>, String>,
}

impl Hang {
    /// Examines a machine that reached a limit.
    pub(super) fn examine(child: &mut Child, reason: String) -> Self {
        Self { reason, cpus: child.cpu_states() }
    }

    /// Returns one line per CPU with its state and, if `symbols` have it, the name of its code.
    pub fn lines(&self, symbols: Option<&Symbols>) -> Vec<String> {
        match &self.cpus {
            Ok(cpus) => cpus.iter().map(|cpu| line(cpu, symbols)).collect(),
            Err(why) => vec![format!("the CPUs' states are unknown: {why}")],
        }
    }
}

fn line(state: &CpuState, symbols: Option<&Symbols>) -> String {
    let CpuState { cpu, rip, halted, interrupts_on } = state;
    // A halted CPU's instruction pointer is after its `hlt`.
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
    fn each_cpu_has_a_line() {
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
    fn unresponsive_qemu_is_reported() {
        let hang = Hang { reason: String::new(), cpus: Err("QEMU does not answer".into()) };
        assert_eq!(hang.lines(None), ["the CPUs' states are unknown: QEMU does not answer"]);
    }
}
