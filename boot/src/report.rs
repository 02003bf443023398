//! The report of a run: tables and a page for the user, and files for programs.

mod files;
mod format;
mod jobs;
mod page;
mod plots;
mod read;
mod summary;
mod tables;

pub(crate) use files::put;
pub use files::{Paths, write, write_page};
pub(crate) use format::{byte_rate, duration, page_rate};
pub use jobs::{JobRow, NodeRow, rows};
pub(crate) use page::page_head;
pub use page::{Content, page};
pub use plots::{Plot, plots};
pub use read::read;
pub use summary::{HostFacts, MachineFacts, Phase, Report, ZeroMethod, host_cores};
pub use tables::{render, render_ending};
pub(crate) use tables::{table, unit_name};

#[cfg(test)]
pub(crate) mod tests;
