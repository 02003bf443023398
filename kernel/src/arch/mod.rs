//! The machine underneath. One architecture so far.

mod x86_64;

pub use self::x86_64::*;
