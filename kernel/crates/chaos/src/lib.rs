//! What a kernel does at its switch points when it runs under chaos: nothing, a delay, a preemption, or an interrupt to
//! another CPU.
//!
//! A *switch point* is a place where another thread or CPU could come in between anyway: [`Point`] lists the kinds. A
//! [`Stream`] for each CPU decides what happens at that CPU's n-th point. It is pseudo-random and follows from the seed and
//! the CPU's number alone. Each point takes one draw, whatever comes of it, so the number of draws does not depend on time.
//! A machine that executes the same instructions again makes the same decisions again. [`Digest`] proves it.
//!
//! A seed also chooses a [`Temper`]: how often each action happens, how long delays are, and at which kinds of points.
//! Leaving kinds out finds bugs that an even mixture of all hides (Groce and others, "Swarm Testing", ISSTA 2012).
#![no_std]
#![forbid(unsafe_code)]

mod digest;
mod stream;
mod temper;

pub use digest::Digest;
pub use stream::{Place, Seeding, Stream};
pub use temper::Temper;

/// Kinds of switch points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Point {
    /// A spin lock is about to be taken.
    SpinLock,
    /// A spin lock was released.
    SpinUnlock,
    /// A mutex is about to be taken; the thread may block.
    MutexLock,
    /// A mutex was released.
    MutexUnlock,
    /// A thread is about to block.
    Park,
    /// A thread is about to wake another one.
    Wake,
    /// A thread of a job is about to begin a chunk.
    ChunkBegin,
    /// A thread of a job has ended a chunk.
    ChunkEnd,
    /// A deadline is about to be set.
    TimerArm,
    /// A deadline is about to be cancelled.
    TimerCancel,
    /// Memory is about to be allocated.
    Alloc,
    /// Memory is about to be freed.
    Free,
}

impl Point {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::SpinLock,
        Self::SpinUnlock,
        Self::MutexLock,
        Self::MutexUnlock,
        Self::Park,
        Self::Wake,
        Self::ChunkBegin,
        Self::ChunkEnd,
        Self::TimerArm,
        Self::TimerCancel,
        Self::Alloc,
        Self::Free,
    ];
}

/// What happens at a switch point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// The CPU spins for so many rounds.
    Delay(u32),
    /// The thread yields its CPU.
    Preempt,
    /// CPU number n is interrupted, without a reason.
    Interrupt(u32),
}

/// Returns the next state of a splitmix64 generator, and its number (Steele, Lea and Flood, OOPSLA 2014).
const fn next(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, mixed ^ (mixed >> 31))
}
