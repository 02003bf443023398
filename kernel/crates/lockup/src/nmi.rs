//! The source of a non-maskable interrupt.
//!
//! An NMI carries no vector. Only the last command to the watchdog's timer tells whether the NMI is the timer's. The
//! timer's NMI can come early, because timers differ in what they do while they are set. It can come late, after the
//! timer was set again or switched off.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

const OFF: u8 = 0;
const SETTING: u8 = 1;
const ARMED: u8 = 2;

/// The source of a non-maskable interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The watchdog's timer, at or after its time.
    Due,
    /// The watchdog's timer, early or late: to be ignored.
    Stray,
    /// Anything else.
    Outside,
}

/// The last command to the watchdog's timer. All times are counts of the timer's own counter.
///
/// The watched CPU writes it, and that CPU's NMI reads it: an NMI sees every store before it in program order.
#[derive(Debug)]
pub struct NmiOwner {
    phase: AtomicU8,
    /// When the phase began; 0: no command yet.
    since: AtomicU64,
    due: AtomicU64,
    /// Time after a command in which an interrupt from before it may still come.
    grace: u64,
}

impl NmiOwner {
    /// Returns the state of a timer that was never set.
    #[must_use]
    pub const fn new(grace: u64) -> Self {
        Self { phase: AtomicU8::new(OFF), since: AtomicU64::new(0), due: AtomicU64::new(0), grace }
    }

    /// Notes that the timer's registers are about to be written.
    pub fn begin_setting(&self) {
        self.phase.store(SETTING, SeqCst);
    }

    /// Notes that the timer will interrupt at `due`. Called before it can.
    pub fn arm(&self, now: u64, due: u64) {
        self.due.store(due, SeqCst);
        self.since.store(now, SeqCst);
        self.phase.store(ARMED, SeqCst);
    }

    /// Notes that the timer is off.
    pub fn disarm(&self, now: u64) {
        self.since.store(now, SeqCst);
        self.phase.store(OFF, SeqCst);
    }

    /// Returns the count at which the timer will interrupt.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.due.load(SeqCst)
    }

    /// Returns the source of an NMI that is taken at `now`.
    #[must_use]
    pub fn origin(&self, now: u64) -> Origin {
        let (phase, since) = (self.phase.load(SeqCst), self.since.load(SeqCst));
        let is_recent = since != 0 && now.saturating_sub(since) <= self.grace;
        match phase {
            SETTING => Origin::Stray,
            ARMED if now >= self.due() => Origin::Due,
            _ if is_recent => Origin::Stray,
            _ => Origin::Outside,
        }
    }
}
