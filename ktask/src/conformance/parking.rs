//! Checks of parking and waking.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::broken::{ConformanceError, at_most, equal};
use super::pair::on_two_threads;
use super::patience::{PATIENCE_NS, POLL_NS, wait_until};
use crate::Platform;

pub(super) const REMEMBERED: &str = "unpark_is_remembered";
pub(super) const DEADLINE: &str = "park_ends_at_its_deadline";
pub(super) const WAKES: &str = "unpark_wakes";

/// Wake-ups that a check counts.
const ROUNDS: u64 = 200;

/// Checks that a [`Platform::unpark`] which comes before the [`Platform::park`] ends it at once.
///
/// # Errors
///
/// A park that lasts until its deadline.
pub fn unpark_is_remembered<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    let own = platform.current_thread();
    for _ in 0..ROUNDS {
        platform.unpark(&own);
        let until_ns = platform.now_ns().saturating_add(PATIENCE_NS);
        platform.park(Some(until_ns));
        at_most(REMEMBERED, "park lasted although unpark had come", platform.now_ns(), until_ns - 1)?;
    }
    Ok(())
}

/// Checks that [`Platform::park`] with a deadline returns when the deadline is reached.
///
/// # Errors
///
/// A park that lasts seconds longer.
pub fn park_ends_at_its_deadline<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    const RULE: &str = "time at which a park with a deadline returned";
    for sleep_ns in [0, 1, POLL_NS, 1_000_000] {
        let until_ns = platform.now_ns().saturating_add(sleep_ns);
        platform.park(Some(until_ns));
        at_most(DEADLINE, RULE, platform.now_ns(), until_ns.saturating_add(PATIENCE_NS))?;
    }
    Ok(())
}

/// Checks that [`Platform::unpark`] of another thread ends its [`Platform::park`], whichever comes first.
///
/// # Errors
///
/// A wake-up that is lost.
pub fn unpark_wakes<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    let (sent, seen, lost) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let parked = platform.current_thread();
    on_two_threads(
        platform,
        || {
            for round in 1..=ROUNDS {
                let until_ns = platform.now_ns().saturating_add(PATIENCE_NS);
                while sent.load(SeqCst) < round {
                    if platform.now_ns() >= until_ns {
                        return;
                    }
                    platform.park(Some(until_ns));
                    // It was sent, and yet the park lasted until its deadline.
                    if sent.load(SeqCst) == round && platform.now_ns() >= until_ns {
                        lost.fetch_add(1, SeqCst);
                    }
                }
                seen.store(round, SeqCst);
            }
        },
        || {
            for round in 1..=ROUNDS {
                sent.store(round, SeqCst);
                platform.unpark(&parked);
                if lost.load(SeqCst) > 0 || !wait_until(platform, || seen.load(SeqCst) == round) {
                    return;
                }
            }
        },
    );
    equal(WAKES, "lost wake-ups", lost.load(SeqCst), 0)
}
