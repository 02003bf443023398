//! The machine that we run on, behind a trait: what decides about set-up is tested against a made-up one.

mod environment;
#[cfg(test)]
pub(crate) mod fake;
mod interface;
mod real;

pub use environment::remove_build_environment;
pub use interface::{Captured, System};
pub use real::Real;
