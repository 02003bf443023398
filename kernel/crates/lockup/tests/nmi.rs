//! Whether a non-maskable interrupt is the watchdog timer's.

use lockup::{NmiOwner, Origin};

const GRACE: u64 = 10;

#[test]
fn no_nmi_is_the_timers_before_it_was_ever_set() {
    let owner = NmiOwner::new(GRACE);
    for now in [0, 1, 5, u64::MAX] {
        assert_eq!(owner.origin(now), Origin::Outside);
    }
}

#[test]
fn the_timers_nmi_is_known_early_on_time_and_late() {
    let owner = NmiOwner::new(GRACE);
    owner.begin_setting();
    assert_eq!(owner.origin(100), Origin::Stray, "it fires while being set");
    owner.arm(100, 1000);
    assert_eq!(owner.origin(100 + GRACE), Origin::Stray, "it fired while being set");
    assert_eq!(owner.origin(1000), Origin::Due);
    assert_eq!(owner.origin(u64::MAX), Origin::Due, "the machine was stopped meanwhile");
    owner.begin_setting();
    owner.arm(1001, 2000);
    assert_eq!(owner.origin(1002), Origin::Stray, "a second NMI for one deadline");
    owner.disarm(1500);
    assert_eq!(owner.origin(1500 + GRACE), Origin::Stray, "it was on its way");
}

#[test]
fn an_nmi_while_the_timer_is_not_due_is_from_outside() {
    let owner = NmiOwner::new(GRACE);
    owner.arm(100, 1000);
    assert_eq!(owner.origin(101 + GRACE), Origin::Outside);
    assert_eq!(owner.origin(999), Origin::Outside);
    owner.disarm(1500);
    assert_eq!(owner.origin(1501 + GRACE), Origin::Outside);
}
