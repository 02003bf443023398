//! How threads and CPUs wait for each other, as state machines in safe code.
//!
//! The kernel supplies the threads ([`Threads`], [`Owners`]) and a lock ([`Locked`]). The loom models supply their own,
//! and run this very code under every interleaving.
//!
//! * [`queue`]: waiting until a condition holds, with or without a deadline; completions and semaphores, built on that.
//! * [`handover`]: a mutex that is handed to the thread that has waited longest.
//! * [`donation`]: weight that a waiting thread gives to the thread it waits for.
//! * [`pool_size`]: how many pages a pool has and should have.
//! * [`page_slot`]: a place for a page, which is its own lock.
//! * [`flush_generations`]: requests for a flush, and which CPUs have flushed since.
//! * [`idle_poll`]: how a CPU that polls before it halts is woken, and for how long it polls.
#![no_std]
#![forbid(unsafe_code)]

pub mod donation;
pub mod flush_generations;
pub mod handover;
pub mod idle_poll;
pub mod page_slot;
pub mod pool_size;
pub mod queue;

mod sync;
mod threads;

pub use donation::{Donation, Donors, ReceivedDonations};
pub use flush_generations::FlushGenerations;
pub use handover::{HandOver, Owners};
pub use idle_poll::{IdlePeriod, Kick, PollFlag, PollWindow};
pub use page_slot::PageSlot;
pub use pool_size::PoolSize;
pub use queue::{Completion, Semaphore, WaitQueue};
pub use threads::{Locked, Threads};
