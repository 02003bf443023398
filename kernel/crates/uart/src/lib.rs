//! A serial port: detection, set-up, and the queue of lines to send.
//!
//! [`port`] drives a 16550 through a trait, so host tests can use absent and odd ports. [`outbox`] holds whole lines until
//! the port takes them, and decides when a port counts as stuck and which lines are lost.
#![no_std]
#![forbid(unsafe_code)]

pub mod outbox;
pub mod port;
