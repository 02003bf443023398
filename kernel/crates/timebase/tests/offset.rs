//! Two CPUs' counters: the offset is found, corrected if possible, and never invented.

use proptest::prelude::*;
use timebase::offset::{Bounds, Exchange, MOST_ADJUSTMENTS, Step, next_step};

/// Two CPUs, their true time, and the duration of messages.
struct Pair {
    now: u64,
    own_offset: i64,
    /// The own IA32_TSC_ADJUST, if there is one, and whether writing it has an effect.
    own_adjust: Option<i64>,
    obeys: bool,
    other_adjust: Option<i64>,
    /// Durations of the messages there and back, repeated.
    delays: Vec<(u64, u64)>,
}

impl Pair {
    fn own(&self) -> u64 {
        let adjust = if self.obeys { self.own_adjust.unwrap_or(0) } else { 0 };
        self.now.wrapping_add_signed(self.own_offset).wrapping_add_signed(adjust)
    }

    fn measure(&mut self) -> Bounds {
        let exchanges: Vec<_> = self.delays.clone();
        let mut bounds: Option<Bounds> = None;
        for (there, back) in exchanges {
            let before = self.own();
            self.now += there;
            let other = self.now.wrapping_add_signed(self.other_adjust.unwrap_or(0));
            self.now += back;
            let found = Bounds::of(Exchange { before, other, after: self.own() }).unwrap();
            bounds = Some(bounds.map_or(found, |bounds| bounds.narrower(found)));
        }
        bounds.unwrap()
    }

    /// Takes steps to the end. Returns the number of adjustments and the remaining offset.
    fn converge(&mut self) -> (u32, i64) {
        for adjustments in 0..=MOST_ADJUSTMENTS {
            let bounds = self.measure();
            match next_step(bounds, adjustments, self.own_adjust, self.other_adjust) {
                Step::Done => return (adjustments, 0),
                Step::Adjust(value) => self.own_adjust = Some(value),
                Step::Apart(ticks) => return (adjustments, ticks),
            }
        }
        panic!("it goes on for ever");
    }
}

fn pair(own_offset: i64, own_adjust: Option<i64>) -> Pair {
    let delays = vec![(400, 420), (90_000, 300), (300, 310), (500, 2_000_000)];
    Pair { now: 1 << 40, own_offset, own_adjust, obeys: true, other_adjust: own_adjust.map(|_| 0), delays }
}

#[test]
fn equal_counters_are_left_alone() {
    assert_eq!(pair(0, None).converge(), (0, 0));
    assert_eq!(pair(0, Some(0)).converge(), (0, 0));
}

#[test]
fn an_offset_that_the_round_trip_explains_is_not_corrected() {
    // The narrowest takes 610 ticks, of which the other CPU's reading is in the middle.
    assert_eq!(pair(-250, None).converge(), (0, 0));
    assert_eq!(pair(250, None).converge(), (0, 0));
}

#[test]
fn without_a_register_the_offset_is_reported() {
    let (adjustments, apart) = pair(-1_000_000, None).converge();
    assert_eq!(adjustments, 0);
    assert!((999_000..=1_000_000).contains(&apart), "the other is ahead by {apart}");
    let (_, apart) = pair(1_000_000, None).converge();
    assert!((-1_000_000..=-999_000).contains(&apart), "the other is ahead by {apart}");
}

#[test]
fn with_a_register_it_is_corrected() {
    for offset in [-5_000_000_000, -1000, 1000, 777_777_777_777] {
        let mut pair = pair(offset, Some(0));
        let (adjustments, apart) = pair.converge();
        assert_eq!((adjustments, apart), (1, 0), "offset {offset}");
        let left = pair.own_offset + pair.own_adjust.unwrap();
        assert!(left.abs() < 610, "{left} ticks of {offset} are left");
    }
}

/// Firmware wrote the TSC of one CPU alone.
#[test]
fn an_unequal_adjustment_is_made_equal_exactly() {
    let mut pair = Pair { other_adjust: Some(-123_456), ..pair(0, Some(5_000_000)) };
    assert_eq!(pair.converge(), (1, 0));
    assert_eq!(pair.own_adjust, Some(-123_456));
}

/// Sockets that left reset at different times.
#[test]
fn an_unequal_adjustment_that_makes_counters_equal_stays() {
    let mut pair = pair(-9_000_000, Some(9_000_000));
    assert_eq!(pair.converge(), (0, 0));
    assert_eq!(pair.own_adjust, Some(9_000_000));
}

#[test]
fn a_copy_that_does_not_help_is_not_the_end() {
    let mut pair = Pair { other_adjust: Some(70), ..pair(-9_000_000, Some(1_000_000)) };
    assert_eq!(pair.converge(), (2, 0));
}

#[test]
fn after_a_copy_the_own_adjustment_is_refined() {
    let bounds = Bounds { lowest: 100, highest: 300 };
    assert_eq!(next_step(bounds, 0, Some(5), Some(70)), Step::Adjust(70));
    assert_eq!(next_step(bounds, 1, Some(5), Some(70)), Step::Adjust(205));
    assert_eq!(next_step(bounds, MOST_ADJUSTMENTS, Some(5), Some(70)), Step::Apart(100));
}

#[test]
fn a_register_without_effect_is_given_up() {
    let mut pair = Pair { obeys: false, ..pair(-1_000_000, Some(0)) };
    let (adjustments, apart) = pair.converge();
    assert_eq!(adjustments, MOST_ADJUSTMENTS);
    assert!(apart >= 999_000);
}

#[test]
fn a_counter_that_goes_backwards_gives_no_bounds() {
    assert_eq!(Bounds::of(Exchange { before: 10, other: 10, after: 9 }), None);
}

proptest! {
    #[test]
    fn the_true_offset_is_always_within_bounds(offset in -1_i64 << 50..1 << 50, delays in proptest::collection::vec((0_u64..1 << 30, 0_u64..1 << 30), 1..8)) {
        let mut pair = Pair { delays, ..pair(-offset, None) };
        let bounds = pair.measure();
        prop_assert!((bounds.lowest..=bounds.highest).contains(&offset));
        prop_assert!(bounds.certain().abs() <= offset.abs());
        prop_assert!((bounds.lowest..=bounds.highest).contains(&bounds.middle()));
    }

    #[test]
    fn no_readings_do_harm(before: u64, other: u64, after: u64, adjustments in 0..9_u32, own: Option<i64>, theirs: Option<i64>) {
        if let Some(bounds) = Bounds::of(Exchange { before, other, after }) {
            let _ = (bounds.middle(), next_step(bounds, adjustments, own, theirs));
        }
    }
}
