//! The kernel's parameters: one registry of names, types, ranges and defaults.
//!
//! The boot command line and the shell's `sysctl` set parameters by *name*. The kernel reads them through the typed statics
//! in [`registry`]. A value is checked before it is stored. A [`SetError`] names the parameter, the refused value and the
//! allowed values; the old value stays.
//!
//! The design is that of Linux's `module_param` and of Asterinas' typed boot parameters: one static for each parameter,
//! found through one table. Parameters are atomics: reading one costs a load, and any CPU may read while another sets.
//!
//! ```
//! use params::{cmdline, registry};
//!
//! let outcome = cmdline::apply("ktask.max_threads=2 nonsense=1", |problem| {
//!     assert!(problem.to_string().starts_with("unknown parameter `nonsense`"));
//! });
//! assert_eq!((outcome.set, outcome.refused), (1, 1));
//! assert_eq!(registry::KTASK_MAX_THREADS.get(), 2);
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod cmdline;
pub mod cpu_features;
mod kinds;
pub mod node_policy;
mod param;
pub mod registry;
mod size;
pub mod spelling;
pub mod trace_events;

pub use kinds::{
    BoolParam, ChoiceParam, ListParam, OptionParam, SizeParam, TEXT_CAPACITY, TextParam, U64Param,
};
pub use param::{NotAllowed, Param, SetError};
pub use size::{Bytes, parse_size};
