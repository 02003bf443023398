//! The hardware-independent part of tracing: the events, each CPU's ring, and the encoding for the host.
//!
//! * [`event`]: an event, packed into three words.
//! * [`ring`]: the last events of one CPU, written without locks and read while they are written.
//! * [`wire`]: batches of events as text for records.
//!
//! No unsafe code; only decoding (feature `std`) allocates. With `--cfg loom` the ring uses loom's atomics, so its
//! models run the kernel's code.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod event;
pub mod ring;
pub mod wire;

mod sync;

pub use event::{Event, EventClass, Named, Outcome, Why};
pub use ring::{EventCell, Ring};
pub use wire::Stamped;
