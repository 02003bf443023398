//! The order in which locks are taken, learnt and checked.
//!
//! Two threads that take two locks in opposite orders wait for each other some
//! day, perhaps on somebody else's machine. The order can be seen to be wrong
//! long before: every lock belongs to a [`LockClassId`], a [`Graph`] keeps which class
//! was taken while which was held, and an acquisition that would close a
//! cycle is refused the first time that it is tried, whether anybody waits or
//! not. Classes with a documented rank are held to that from the start.
//! (Linux's lockdep is the model; its interrupt states are not needed here, for
//! the kernel's spin locks are only held with interrupts off.)
//!
//! Who holds what is the caller's to keep, in a [`HeldLocks`] for each CPU (spin
//! locks) or thread (locks that are waited for asleep).
#![no_std]
#![forbid(unsafe_code)]

mod graph;
mod held;
mod kind;
mod violation;

pub use graph::{Graph, MAX_CLASSES};
pub use held::{Full, Held, HeldLocks, MAX_HELD};
pub use kind::{Kind, LockClassId, Place};
pub use violation::Violation;
