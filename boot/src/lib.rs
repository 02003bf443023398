//! The host side of ktask: what `cargo run` does, as a library that the tests use as well.
//!
//! Top-down: [`command`] does what [`cli`] read. [`doctor`] finds, or installs, what is needed, a [`toolchain`]
//! among it; [`kernel`] builds; [`qemu`] is the machine, [`run`] boots and follows it, [`shell`] lets someone type; [`report`]
//! makes tables and files of what it said and a [`trace`] for viewers, with the names that [`symbols`] has for addresses.
//! [`system`] is the computer that all this runs on.

#![deny(unsafe_code)]

pub mod cli;
pub mod command;
pub mod doctor;
pub mod failure;
pub mod kernel;
pub mod list;
pub mod qemu;
pub mod report;
pub mod run;
pub mod shell;
pub mod size;
pub mod symbols;
pub mod system;
pub mod toolchain;
pub mod trace;
