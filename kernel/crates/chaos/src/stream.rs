//! The decisions of one CPU.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::digest::{Digest, fold};
use crate::point::{Action, Point};
use crate::random::next;
use crate::temper::Temper;

/// The decisions of one CPU, which alone calls [`decide`](Self::decide), with interrupts off: a single writer. Other CPUs may read
/// the [`digest`](Self::digest).
///
/// All accesses are Relaxed: the writer reads its own stores, and for other CPUs the values are hints.
#[derive(Debug, Default)]
pub struct Stream {
    /// The number of the seeding that the rest belongs to.
    seeding: AtomicU64,
    state: AtomicU64,
    temper: AtomicU64,
    points: AtomicU64,
    actions: AtomicU64,
    hash: AtomicU64,
}

/// A seed, and how often the machine was seeded before. Streams begin anew when they meet a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeding {
    /// From 1.
    pub number: u64,
    /// The seed.
    pub seed: u64,
}

/// The running CPU, and what is possible there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The CPU's number.
    pub cpu: u32,
    /// The number of CPUs.
    pub cpus: u32,
    /// Whether the running thread can be preempted.
    pub can_preempt: bool,
}

impl Stream {
    /// Returns a stream that was never seeded.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seeding: AtomicU64::new(0),
            state: AtomicU64::new(0),
            temper: AtomicU64::new(0),
            points: AtomicU64::new(0),
            actions: AtomicU64::new(0),
            hash: AtomicU64::new(0),
        }
    }

    /// Decides what happens at the next point of this CPU. Takes exactly one draw.
    pub fn decide(&self, seeding: Seeding, place: Place, point: Point) -> Action {
        if self.seeding.load(Relaxed) != seeding.number {
            self.begin(seeding, place.cpu);
        }
        let (state, draw) = next(self.state.load(Relaxed));
        self.state.store(state, Relaxed);
        let action = choose(Temper::from_word(self.temper.load(Relaxed)), place, point, draw);
        self.points.store(self.points.load(Relaxed) + 1, Relaxed);
        if action != Action::Nothing {
            self.actions.store(self.actions.load(Relaxed) + 1, Relaxed);
        }
        self.hash.store(fold(self.hash.load(Relaxed), point, action), Relaxed);
        action
    }

    fn begin(&self, seeding: Seeding, cpu: u32) {
        let (_, start) = next(seeding.seed ^ (u64::from(cpu) + 1).wrapping_mul(0xd134_2543_de82_ef95));
        self.seeding.store(seeding.number, Relaxed);
        self.state.store(start, Relaxed);
        self.temper.store(Temper::of_seed(seeding.seed).to_word(), Relaxed);
        for count in [&self.points, &self.actions, &self.hash] {
            count.store(0, Relaxed);
        }
    }

    /// Returns the digest of the decisions since this seeding; an empty one if there were none.
    #[must_use]
    pub fn digest(&self, seeding: Seeding) -> Digest {
        if self.seeding.load(Relaxed) != seeding.number {
            return Digest::default();
        }
        Digest {
            points: self.points.load(Relaxed),
            actions: self.actions.load(Relaxed),
            hash: self.hash.load(Relaxed),
        }
    }
}

/// Chooses by the number `draw`: 16 bits for the action, the others for its amount.
fn choose(temper: Temper, place: Place, point: Point, draw: u64) -> Action {
    if !temper.has(point) {
        return Action::Nothing;
    }
    let roll = (draw & 0xffff) as u32;
    let amount = (draw >> 32) as u32;
    let (preempt, delay, interrupt) = (temper.preempt(), temper.delay(), temper.interrupt());
    if roll < preempt {
        if place.can_preempt { Action::Preempt } else { Action::Nothing }
    } else if roll < preempt + delay {
        Action::Delay(1 + amount % temper.longest_delay())
    } else if roll < preempt + delay + interrupt && place.cpus > 0 {
        Action::Interrupt(amount % place.cpus)
    } else {
        Action::Nothing
    }
}
