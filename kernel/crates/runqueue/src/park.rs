//! How a thread goes to sleep without missing its wake-up.
//!
//! The classic race: a thread looks, finds nothing to do, and is about to sleep
//! when the wake-up comes. As in `std::thread::park`, a wake-up that finds the
//! thread awake leaves a token, and a thread that finds the token does not
//! sleep. The state says who queues a sleeping thread: whoever moves it away
//! from parked, and nobody else.
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
//! A thread that blocks does, with preemption off:
//!
//! ```text
//! loop until the condition holds:
//!     match park.prepare_park() {
//!         Consumed => look again,
//!         Sleep    => switch to the next thread,   // not queued anywhere
//!     }
//! ```
//!
//! A waker makes the condition true, then calls `unpark` and on `Wake` puts the
//! thread into a run queue. The thread may still be on its way to sleep then;
//! whoever takes it from the run queue waits until its old CPU has let go of
//! its stack.

use crate::sync::{AtomicU32, Ordering};

const RUNNING: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = 2;

/// What a thread that wants to sleep has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ParkDecision {
    /// A wake-up had come already and is used up: do not sleep.
    Consumed,
    /// The thread counts as parked: switch away. It comes back when someone
    /// gets [`UnparkAction::Wake`].
    Sleep,
}

/// What the caller of [`ParkState::unpark`] or [`ParkState::cancel_park`] has
/// to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum UnparkAction {
    /// Put the thread into a run queue. Exactly one caller per sleep is told.
    Wake,
    /// The thread runs, or someone else wakes it.
    Nothing,
}

/// Whether one thread runs, sleeps, or need not sleep.
#[derive(Debug)]
pub struct ParkState {
    state: AtomicU32,
}

impl ParkState {
    /// The state of a thread that runs or is in a run queue.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { state: AtomicU32::new(RUNNING) }
    }

    /// The state of a thread that runs or is in a run queue.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { state: AtomicU32::new(RUNNING) }
    }

    /// Called by the thread itself when it wants to sleep.
    ///
    /// On [`Consumed`](ParkDecision::Consumed) everything that the waker did
    /// before its `unpark` is visible.
    #[inline]
    pub fn prepare_park(&self) -> ParkDecision {
        // Release pairs with the Acquire in `unpark` and `cancel_park`: who
        // finds the thread parked sees what the thread did before.
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

    /// Called by anyone who has something for the thread.
    ///
    /// What the caller did before is visible to the thread when it next
    /// returns from sleeping or finds its token. Tokens do not add up.
    #[inline]
    pub fn unpark(&self) -> UnparkAction {
        // Even a token that is there already is written anew: its finder has
        // to see what this caller did, so this Release has to pair with the
        // finder's Acquire too.
        let old = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
            Some(if state == PARKED { RUNNING } else { NOTIFIED })
        });
        match old {
            Ok(PARKED) => UnparkAction::Wake,
            _ => UnparkAction::Nothing,
        }
    }

    /// Ends a sleep without leaving a token: a deadline has passed, or the
    /// thread, before it switched away, found that it need not sleep.
    ///
    /// [`Nothing`](UnparkAction::Nothing) means that an `unpark` was faster
    /// (its caller queues the thread) or that the thread does not sleep. A
    /// thread that cancels its own sleep goes on running on `Wake`, and on
    /// `Nothing` switches away, since it has been queued.
    #[inline]
    pub fn cancel_park(&self) -> UnparkAction {
        // Acquire pairs with the Release in `prepare_park`, Release with the
        // Acquire of the thread's next `prepare_park`.
        match self.state.compare_exchange(PARKED, RUNNING, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => UnparkAction::Wake,
            Err(_) => UnparkAction::Nothing,
        }
    }

    /// Whether the thread sleeps, at this moment: for reports, not decisions.
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
