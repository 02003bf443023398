//! Protocol between the kernel and the host side. Both link this crate, so they cannot disagree.
//!
//! * [`exit`]: the verdict with which the kernel ends QEMU, and the exit status of the host command.
//! * [`record`]: measurements and events, as JSON Lines on the second serial port.
//! * [`ktap`]: results of in-kernel tests, in the kernel's variant of the Test Anything Protocol, on
//!   the first serial port between the lines of the log.
//! * [`shell`]: the prompt, for programs that drive the shell.
//! * [`ktest`]: the section of the ELF file with the names of the in-kernel tests, and patterns that choose from them.
//!
//! The kernel's half does not allocate. The feature `std` adds the host's half, the parsers.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod exit;
pub mod ktap;
pub mod ktest;
pub mod record;
pub mod shell;

/// Most bytes of a kernel command line.
pub const MAX_COMMAND_LINE_BYTES: usize = 4096;
