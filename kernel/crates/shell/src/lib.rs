//! What the kernel's shell decides without touching hardware.
//!
//! Bytes from a serial line become [`keys`], keys edit a line ([`editor`], with
//! [`history`](editor::HISTORY_LINES) and [`completion`]), a line becomes a [`command`]. In the other direction
//! a [`screen`] brings the terminal from what it shows to what it should show, and a [`table`] lines up
//! columns. [`ring`] holds bytes between the interrupt and the reader.
//!
//! Input is hostile: it may be a pipe, a terminal, a cat on the keyboard or another machine's boot
//! log. Nothing here panics or grows without bound on any sequence of bytes, and a line of which a part was
//! lost, too much or no text is refused as a whole: half a command may be the wrong command.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod command;
pub mod completion;
pub mod editor;
pub mod keys;
pub mod ring;
pub mod screen;
pub mod table;
