//! The hardware-independent part of the kernel's shell.
//!
//! Input: bytes from a serial line become [`keys`], keys edit a line ([`editor`], with
//! [`history`](editor::HISTORY_LINES) and [`completion`]), a line becomes a [`command`]. Output: a [`screen`] updates
//! the terminal's unfinished line, and a [`table`] aligns columns. [`ring`] buffers bytes between interrupt and reader.
//!
//! Input is hostile: a pipe, a terminal, a cat on the keyboard or another machine's boot log. No sequence of bytes
//! makes this crate panic or grow without bound. A line that lost a part, is too long or is not text is refused as a
//! whole, because half a command may be the wrong command.
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
