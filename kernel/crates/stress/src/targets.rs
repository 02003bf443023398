//! What is fed, and what must hold.

mod acpi;
mod cmdline;
mod map;
mod mp;
mod root;
mod terminal;

use crate::input::Rng;

/// A parser, with a way to make inputs for it.
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// Makes an input, feeds it, asserts what must hold. Returns whether the
    /// parser took the input, or a part of it that matters.
    pub run: fn(&mut Rng) -> bool,
    /// The least share of inputs, in percent, that the parser must take; else
    /// this tests nothing but the checks at the door.
    pub least_taken_percent: u64,
}

/// All of them.
pub static ALL: &[Target] = &[
    Target { name: "root", run: root::run, least_taken_percent: 20 },
    Target { name: "madt", run: acpi::madt, least_taken_percent: 20 },
    Target { name: "nodes", run: acpi::nodes, least_taken_percent: 20 },
    Target { name: "s5", run: acpi::sleep_state, least_taken_percent: 20 },
    Target { name: "mp", run: mp::run, least_taken_percent: 20 },
    Target { name: "map", run: map::run, least_taken_percent: 20 },
    Target { name: "cmdline", run: cmdline::run, least_taken_percent: 20 },
    Target { name: "terminal", run: terminal::run, least_taken_percent: 20 },
];

/// What a number of inputs led to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Inputs fed.
    pub inputs: u64,
    /// Inputs that the parser took.
    pub taken: u64,
}

impl Target {
    /// The target with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|target| target.name == name)
    }

    /// Feeds `inputs` inputs from number `first` on; `before` is told each
    /// number.
    pub fn feed(&self, seed: u64, first: u64, inputs: u64, before: impl Fn(u64)) -> Tally {
        let mut tally = Tally::default();
        for number in first..first + inputs {
            before(number);
            tally.taken += u64::from((self.run)(&mut Rng::new(seed, number)));
            tally.inputs += 1;
        }
        tally
    }

    /// Whether enough of `tally` was taken for it to mean something.
    #[must_use]
    pub const fn is_deep_enough(&self, tally: Tally) -> bool {
        tally.taken * 100 >= tally.inputs * self.least_taken_percent
    }
}
