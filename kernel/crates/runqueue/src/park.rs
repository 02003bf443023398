//! How a thread goes to sleep without missing its wake-up.
//!
//! The classic race: a thread looks, finds nothing to do, and is about to sleep when the wake-up comes. As in
//! `std::thread::park`, a wake-up that finds the thread awake leaves a token, and a thread that finds the token does not
//! sleep. Exactly one caller moves a thread out of the parked state; that caller queues the thread.
//!
//! ```text
//!             prepare_park                 unpark, cancel_park: Wake
//!   Running ----------------> Parked -------------------------------> Running
//!      |  ^
//!      |  | prepare_park: Consumed
//!      v  |
//!   Notified <-- unpark: Nothing
//! ```
//!
//! A thread blocks with preemption off:
//!
//! ```text
//! loop until the condition holds:
//!     match park.prepare_park() {
//!         Consumed => look again,
//!         Sleep    => switch to the next thread,   // not queued anywhere
//!     }
//! ```
//!
//! A waker makes the condition true, then calls `unpark`, and on `Wake` queues the thread. The thread may still be leaving
//! its CPU then. No CPU waits for that: such a thread is queued on the CPU that it is leaving, which takes it only after it
//! has left its stack, and no other CPU steals it.

use crate::sync::{AtomicU32, Ordering};

const RUNNING: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = 2;

/// What a thread has to do that is about to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ParkDecision {
    /// Do not sleep: a wake-up had come already, and is used up.
    Consumed,
    /// Switch away: the thread counts as parked. It runs again after a caller got [`UnparkAction::Wake`].
    Sleep,
}

/// What the caller of [`ParkState::unpark`] or [`ParkState::cancel_park`] has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum UnparkAction {
    /// Queue the thread. Exactly one caller per sleep gets this.
    Wake,
    /// Nothing: the thread runs, or another caller queues it.
    Nothing,
}

/// Whether a thread runs, sleeps, or need not sleep.
#[derive(Debug)]
pub struct ParkState {
    state: AtomicU32,
}

impl ParkState {
    /// The state of a thread that runs or is queued.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { state: AtomicU32::new(RUNNING) }
    }

    /// The state of a thread that runs or is queued.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { state: AtomicU32::new(RUNNING) }
    }

    /// Prepares the calling thread to sleep.
    ///
    /// On [`Consumed`](ParkDecision::Consumed) everything is visible that the waker did before its `unpark`.
    #[inline]
    pub fn prepare_park(&self) -> ParkDecision {
        // Release pairs with the Acquire in `unpark` and `cancel_park`: a caller that finds the thread parked sees what the
        // thread did before.
        // Acquire pairs with the Release in `unpark` that left the token.
        let old = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
            RUNNING => Some(PARKED),
            NOTIFIED => Some(RUNNING),
            _ => None,
        });
        match old {
            Ok(NOTIFIED) => ParkDecision::Consumed,
            Ok(_) => ParkDecision::Sleep,
            Err(_) => {
                debug_assert!(false, "a parked thread parks, should be one that runs");
                ParkDecision::Sleep
            }
        }
    }

    /// Wakes the thread, or leaves a token if it is awake. Tokens do not add up.
    ///
    /// What the caller did before is visible to the thread when it next returns from sleeping or finds its token.
    #[inline]
    pub fn unpark(&self) -> UnparkAction {
        // A token that is there already is written again: its finder has to see what this caller did too, so this Release
        // pairs with the finder's Acquire.
        let old = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
            Some(if state == PARKED { RUNNING } else { NOTIFIED })
        });
        match old {
            Ok(PARKED) => UnparkAction::Wake,
            _ => UnparkAction::Nothing,
        }
    }

    /// Ends a sleep without leaving a token: a deadline has passed, or the thread, before it switched away, found that it
    /// need not sleep.
    ///
    /// [`Nothing`](UnparkAction::Nothing) means that an `unpark` was faster (its caller queues the thread) or that the
    /// thread does not sleep. A thread that cancels its own sleep continues on `Wake`; on `Nothing` it switches away, as it
    /// has been queued.
    #[inline]
    pub fn cancel_park(&self) -> UnparkAction {
        // Acquire pairs with the Release in `prepare_park`, Release with the Acquire of the thread's next `prepare_park`.
        match self.state.compare_exchange(PARKED, RUNNING, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => UnparkAction::Wake,
            Err(_) => UnparkAction::Nothing,
        }
    }

    /// Whether the thread sleeps at this moment: for reports, not decisions.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        // Relaxed: nothing is concluded from it.
        self.state.load(Ordering::Relaxed) == PARKED
    }
}

impl Default for ParkState {
    fn default() -> Self {
        Self::new()
    }
}
