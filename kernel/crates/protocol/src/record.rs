//! Records: one JSON object per line, on the second serial port.
//!
//! The kernel writes `Record<&str>` with [`Record::to_line`] into a buffer of the caller, without allocation. The host reads
//! `Record<String>` with `parse_line` (feature `std`). Readers ignore unknown kinds and fields, so both may be added. All
//! times are in nanoseconds; `t_ns` counts from the kernel's first instruction.

mod addresses;
mod line;
#[cfg(feature = "std")]
mod parse;
mod schema;

pub use addresses::Addresses;
pub use line::{LINE_MAX_BYTES, MESSAGE_MAX_BYTES, TEXT_MAX_BYTES, TooLong, clip};
#[cfg(feature = "std")]
pub use parse::{ParseError, parse_line};
pub use schema::{Entry, JobRun, Record, Status, Unit};

#[cfg(test)]
mod tests;
