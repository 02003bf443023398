//! Whose a non-maskable interrupt is.
//!
//! It carries no vector: only what the watch timer was told last says whether the interrupt is the timer's. It
//! can come early (timers differ in what they do while they are set), and it can come late, when the timer
//! has been set anew or switched off since.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

const OFF: u8 = 0;
const SETTING: u8 = 1;
const ARMED: u8 = 2;

/// What a non-maskable interrupt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The watch timer: its time has come.
    Due,
    /// The watch timer, early or late: nothing is to be done.
    Stray,
    /// Something else.
    Outside,
}

/// What the watch timer was told last. All times are counts of the timer's own counter.
///
/// Written by the CPU that is watched, read by its interrupt: each store is seen by an interrupt right behind it.
#[derive(Debug)]
pub struct NmiOwner {
    phase: AtomicU8,
    /// When the phase began; 0 when it never did.
    since: AtomicU64,
    due: AtomicU64,
    /// How long after a change an interrupt may still be one from before it.
    grace: u64,
}

impl NmiOwner {
    /// Of a timer that was never set.
    #[must_use]
    pub const fn new(grace: u64) -> Self {
        Self { phase: AtomicU8::new(OFF), since: AtomicU64::new(0), due: AtomicU64::new(0), grace }
    }

    /// The timer's registers are about to be written.
    pub fn begin_setting(&self) {
        self.phase.store(SETTING, SeqCst);
    }

    /// The timer is to interrupt at `due`. To be called before it can.
    pub fn arm(&self, now: u64, due: u64) {
        self.due.store(due, SeqCst);
        self.since.store(now, SeqCst);
        self.phase.store(ARMED, SeqCst);
    }

    /// The timer is off.
    pub fn disarm(&self, now: u64) {
        self.since.store(now, SeqCst);
        self.phase.store(OFF, SeqCst);
    }

    /// The count at which the timer is to interrupt.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.due.load(SeqCst)
    }

    /// What an interrupt comes from that is taken at `now`.
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
