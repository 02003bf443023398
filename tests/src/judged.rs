//! Scenarios that the host judges.

mod bench;
mod bochs;
mod chaos;
mod clock;
mod console;
mod counted;
mod faults;
mod firmware;
mod first_job;
mod hostile_memory;
mod images;
mod kvm;
mod linux;
mod machines;
mod memory;
mod microvms;
mod misuse;
mod other_qemu;
mod parameters;
mod power;
mod registers;
mod scenario;
mod screen;
mod shell;
mod timing;
mod trace;

use crate::lab::Lab;
use libtest_mimic::{Arguments, Trial};
use scenario::Scenario;

/// Returns the trials of all scenarios.
pub fn trials(lab: &Lab, arguments: &Arguments) -> Vec<Trial> {
    let scenarios = [
        bench::SCENARIOS,
        chaos::SCENARIOS,
        clock::SCENARIOS,
        console::SCENARIOS,
        counted::SCENARIOS,
        faults::SCENARIOS,
        first_job::SCENARIOS,
        hostile_memory::SCENARIOS,
        machines::SCENARIOS,
        memory::SCENARIOS,
        parameters::SCENARIOS,
        power::SCENARIOS,
        registers::SCENARIOS,
        shell::SCENARIOS,
        timing::SCENARIOS,
        trace::SCENARIOS,
    ]
    .concat();
    let trial = |(name, judge): Scenario| {
        let lab = lab.clone();
        Trial::test(name, move || judge(&lab))
    };
    let mut trials: Vec<_> = scenarios.into_iter().map(trial).collect();
    trials.extend(misuse::trials(lab));
    trials.extend(firmware::trials(lab));
    trials.extend(images::trials(lab, arguments));
    trials.extend(kvm::trials(lab));
    trials.extend(linux::trials(lab));
    trials.extend(microvms::trials(lab));
    trials.extend(screen::trials(lab));
    trials.extend(bochs::trials(lab));
    trials.extend(other_qemu::trials(lab));
    trials
}
