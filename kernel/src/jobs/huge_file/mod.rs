//! Files of huge pages.
//!
//! * `file`: a file, its pages, and how they go.
//! * `provide`: how pages come: taken, cleared, mapped.
//! * `fault`: pages that are provided on first access.
//! * `window`: the address space of the files.
//! * `error`: what can go wrong.

mod error;
mod fault;
mod file;
mod provide;
mod window;

pub use error::{FallocateError, FileError, OnError};
pub use fault::page_fault;
pub use file::HugeFile;
pub use provide::{mappings, restart_fault_count};
