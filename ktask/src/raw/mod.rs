//! The crate's only unsafe code: a borrow lent to other threads, a lock, a value that is set once,
//! memory that is lent.
//!
//! | file | holds |
//! |---|---|
//! | `parking` | what the rest needs of a platform |
//! | `cell` | the memory that a task refers to, and its states |
//! | `lending` | the borrow of the caller's frame, and the proof that it is sound |
//! | `turn_lock` | a lock that is waited for by parking |
//! | `first` | a value that the first of several threads sets |
//! | `shelf` | static memory that is lent to one user at a time |
//! | `cpu_time` | the CPU time of a thread in programs |
#![allow(unsafe_code)]

mod cell;
#[cfg(feature = "std")]
pub(crate) mod cpu_time;
mod first;
mod lending;
mod parking;
mod shelf;
mod turn_lock;

pub use cell::HelperCell;
pub(crate) use cell::{CellList, Cells};
pub(crate) use first::FirstOf;
pub use lending::HelperTask;
pub(crate) use lending::{Helpers, scope};
pub use parking::Parking;
pub(crate) use shelf::Shelf;
pub(crate) use turn_lock::TurnLock;
