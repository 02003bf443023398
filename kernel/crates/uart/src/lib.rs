//! A serial port: whether one is there, how it is set up, and what waits to be sent.
//!
//! [`port`] drives a 16550 through a trait, so that ports which are not there, or not quite 16550s, can be tried on the
//! host. [`outbox`] holds whole lines until the port takes them, and decides when a port counts as stuck and what is lost
//! then.
#![no_std]
#![forbid(unsafe_code)]

pub mod outbox;
pub mod port;
