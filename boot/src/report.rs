//! The report of a run: tables and a page for the user, and files for programs.

mod files;
mod format;
mod jobs;
mod page;
mod plots;
mod summary;
mod tables;

pub use files::{Paths, write, write_page};
pub(crate) use format::duration;
pub use jobs::{JobRow, rows};
pub use page::{Content, page};
pub use plots::{Plot, plots};
pub use summary::{HostFacts, MachineFacts, Phase, Report, ZeroMethod, host_cores};
pub use tables::{render, render_ending};

#[cfg(test)]
mod tests;
