//! Kinds of switch points, and what happens there.

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
