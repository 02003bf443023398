//! The host side of ktask: what `cargo run` does, as a library that the boot tests use too.
//!
//! Top-down: [`cli`] parses the command line and [`command`] executes it. [`doctor`] finds or installs the prerequisites, the
//! [`toolchain`] among them. [`kernel`] builds the kernel, [`image`] what starts it on real machines, [`start`] the way to it in
//! QEMU. [`qemu`] is the emulated machine; [`run`] boots it and follows its
//! output; [`shell`] connects the user's terminal to it. [`report`] turns the output into tables and files, [`trace`] into a
//! trace for viewers; [`compare`] shows reports side by side, [`linux`] measures Linux to stand beside the kernel. [`symbols`]
//! names addresses. [`system`] is the host. [`sim`] needs no kernel: it simulates jobs on a described machine.

#![deny(unsafe_code)]

mod cargo;
pub mod cli;
pub mod command;
pub mod compare;
pub mod doctor;
pub mod failure;
mod guest_memory;
pub mod image;
pub mod kernel;
pub mod linux;
pub mod list;
pub mod opening;
mod plotting;
mod progress;
pub mod qemu;
pub mod report;
pub mod run;
pub mod shell;
pub mod sim;
pub mod size;
pub mod start;
pub mod symbols;
pub mod system;
pub mod toolchain;
pub mod trace;
