//! A log on a framebuffer.
//!
//! Writers put lines into a [`backlog`], which drops the oldest lines and never makes a writer wait. A [`screen`] takes
//! them from there into a [`grid`] of characters and draws, in small steps, the characters that differ from what it drew
//! before. It never reads video memory: scrolling is a matter of the grid. [`geometry`] and [`format`](mod@format)
//! describe the framebuffer, [`font`] has the glyphs, and [`read_back`] finds the text in a picture, for tests.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod backlog;
pub mod font;
pub mod format;
pub mod geometry;
pub mod grid;
pub mod ink;
pub mod read_back;
pub mod screen;
