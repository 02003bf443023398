//! The machine. So far there is one architecture.

mod x86_64;

pub use self::x86_64::*;
