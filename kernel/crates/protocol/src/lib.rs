//! What the kernel and the host side say to each other.
//!
//! One crate, linked into both, so that the two can never disagree:
//!
//! * [`exit`]: the verdict that the kernel leaves QEMU with, and the exit status of the host command.
//! * [`record`]: what was measured, as JSON Lines on the second serial port.
//! * [`ktap`]: results of in-kernel tests, in the kernel's variant of the Test Anything Protocol, on
//!   the first serial port between the lines of the log.
//! * [`shell`]: the prompt, for programs that drive the shell.
//! * [`ktest`]: where the names of the in-kernel tests stand in the ELF file, and which of them a pattern chooses.
//!
//! Nothing here allocates. The feature `std` adds what only the host needs: reading.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod exit;
pub mod ktap;
pub mod ktest;
pub mod record;
pub mod shell;
