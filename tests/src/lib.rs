//! Library of the tests that boot the kernel.
//!
//! [`shape`] has the machines. [`lab`] boots one and keeps the evidence, in QEMU or in [`bochs`]; [`dialogue`] uses its shell;
//! [`monitor`] uses QEMU's monitor, and [`pictured`] takes pictures of the screen. [`in_kernel`] makes a test of every in-kernel
//! test, on every shape. [`judged`] has scenarios that only the host can judge: panics, hangs, machines with faults, the output of
//! the timing run. [`standin`] replaces the firmware. `ways` has what booting from images needs.

pub mod bochs;
pub mod dialogue;
pub mod in_kernel;
pub mod judged;
pub mod lab;
pub mod monitor;
pub mod pictured;
pub mod shape;
pub mod standin;
mod ways;
