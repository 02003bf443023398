//! Tracing, but for what needs a machine: the events, the ring that each CPU
//! keeps them in, and the form in which they travel to the host.
//!
//! * [`event`]: what happened; packed into three words.
//! * [`ring`]: the last so many events of one CPU, written without locks and
//!   read while they are written.
//! * [`wire`]: batches of events as text for records.
//!
//! No unsafe code; only decoding (feature `std`) allocates. With `--cfg loom` the ring is built
//! on loom's atomics, so that its models run the very code the kernel runs.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod event;
pub mod ring;
pub mod wire;

mod sync;

pub use event::{Event, EventClass, Named, Outcome, Why};
pub use ring::{Ring, Slot};
pub use wire::Stamped;
