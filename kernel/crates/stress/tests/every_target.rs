//! A few thousand inputs for each target, which show that the targets work. For millions, run
//! `cargo run --release -p stress --example stress`.

use stress::targets::{ALL, Target};

const INPUTS: u64 = 20_000;

#[test]
fn every_target_survives_and_accepts_enough_inputs() {
    for target in ALL {
        let tally = target.feed(7, 0, INPUTS, |_| {});
        assert!(target.is_deep_enough(tally), "{}: {} of {INPUTS} accepted", target.name, tally.accepted);
    }
}

#[test]
fn an_input_depends_only_on_seed_and_number() {
    for target in ALL {
        let one_by_one: u64 = (100..140).map(|number| target.feed(3, number, 1, |_| {}).accepted).sum();
        assert_eq!(target.feed(3, 100, 40, |_| {}).accepted, one_by_one, "{}", target.name);
    }
}

#[test]
fn names_are_unique() {
    for target in ALL {
        let found = Target::by_name(target.name).expect("it has the name");
        assert!(std::ptr::eq(found, target), "{} is there twice", target.name);
    }
    assert!(Target::by_name("nothing").is_none());
}
