//! Learns and checks the order in which locks are taken.
//!
//! Two threads that take two locks in opposite orders deadlock some day, perhaps on a user's machine. The wrong order
//! shows long before. Every lock belongs to a class ([`LockClassId`]), and a [`Graph`] records which class was taken
//! while which was held. An acquisition that would close a cycle is refused the first time that it is tried, whether
//! a thread waits or not. Classes with a documented rank are held to it from the start. (Linux's lockdep is the model.
//! Its interrupt states are not needed here: the kernel's spin locks are only held with interrupts off.)
//!
//! The caller keeps the locks that are held: one [`HeldLocks`] for each CPU (spin locks) or thread (sleeping locks).
#![no_std]
#![forbid(unsafe_code)]

mod check;
mod cycle;
mod graph;
mod held;
mod kind;
mod violation;

pub use graph::Graph;
pub use held::{Full, Held, HeldLocks, MAX_HELD};
pub use kind::{Kind, LockClassId, MAX_CLASSES, Place};
pub use violation::Violation;
