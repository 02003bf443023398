//! The host, behind a trait: tests of set-up use a fake one.

mod environment;
#[cfg(test)]
pub(crate) mod fake;
mod interface;
mod real;

pub use environment::remove_build_environment;
pub use interface::{Captured, System};
pub use real::Real;
