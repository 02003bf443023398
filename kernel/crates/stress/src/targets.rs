//! The targets: parsers, their inputs, and the properties of their results.

mod acpi;
mod cmdline;
mod map;
mod mp;
mod root;
mod tags;
mod terminal;

use crate::input::Rng;

/// A parser with a source of inputs.
pub struct Target {
    /// The target's name.
    pub name: &'static str,
    /// Makes an input, parses it, and checks the result. Returns whether the parser accepted the input, or a part of it
    /// that matters.
    pub run: fn(&mut Rng) -> bool,
    /// Least percentage of inputs that the parser must accept. Below it, the inputs test only the parser's first
    /// checks.
    pub least_accepted_percent: u64,
}

/// All targets.
pub static ALL: &[Target] = &[
    Target { name: "root", run: root::run, least_accepted_percent: 20 },
    Target { name: "madt", run: acpi::madt, least_accepted_percent: 20 },
    Target { name: "nodes", run: acpi::nodes, least_accepted_percent: 20 },
    Target { name: "fadt", run: acpi::fixed_hardware, least_accepted_percent: 20 },
    Target { name: "s5", run: acpi::sleep_state, least_accepted_percent: 20 },
    Target { name: "mp", run: mp::run, least_accepted_percent: 20 },
    Target { name: "tags", run: tags::run, least_accepted_percent: 20 },
    Target { name: "map", run: map::run, least_accepted_percent: 20 },
    Target { name: "cmdline", run: cmdline::run, least_accepted_percent: 20 },
    Target { name: "terminal", run: terminal::run, least_accepted_percent: 20 },
];

/// Counts of inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Inputs so far.
    pub inputs: u64,
    /// Inputs that the parser accepted.
    pub accepted: u64,
}

impl Target {
    /// Returns the target called `name`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|target| target.name == name)
    }

    /// Runs `inputs` inputs from number `first` on, and calls `before` with each number first.
    pub fn feed(&self, seed: u64, first: u64, inputs: u64, before: impl Fn(u64)) -> Tally {
        let mut tally = Tally::default();
        for number in first..first + inputs {
            before(number);
            tally.accepted += u64::from((self.run)(&mut Rng::new(seed, number)));
            tally.inputs += 1;
        }
        tally
    }

    /// Returns whether the parser accepted enough inputs.
    #[must_use]
    pub const fn is_deep_enough(&self, tally: Tally) -> bool {
        tally.accepted * 100 >= tally.inputs * self.least_accepted_percent
    }
}
