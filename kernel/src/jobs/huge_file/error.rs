//! Errors of files of huge pages.

use core::fmt;

use ktask::Invalid;

use super::window::WINDOWS_PER_SIZE;
use crate::arch::paging::MapError;
use crate::mm::huge_pool::PoolCount;

/// Why an operation on a file failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    /// An offset or a length is not a multiple of the page size.
    NotAligned {
        /// The value given.
        value: u64,
        /// The page size.
        unit: u64,
    },
    /// The range is empty or ends beyond the file.
    BeyondEnd {
        /// Where the range ends.
        end: u64,
        /// Where the file ends.
        file_end: u64,
    },
    /// The pool has no page left.
    NoPage,
    /// A page could not be mapped.
    NotMapped(MapError),
    /// Injected by `fault.map`.
    MapFault,
    /// No memory for the file's own tables.
    NoMemory,
    /// All address-space windows for this page size are in use.
    NoWindow,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAligned { value, unit } => write!(f, "{value:#x} should be a multiple of {unit:#x}"),
            Self::BeyondEnd { end, file_end } => {
                write!(
                    f,
                    "the range ends at {end:#x}; it should not be empty, and end at {file_end:#x} or before"
                )
            }
            Self::NoPage => write!(f, "no huge page is left in the pool"),
            Self::NotMapped(error) => error.fmt(f),
            Self::MapFault => write!(f, "a mapping failed, as fault.map wanted"),
            Self::NoMemory => write!(f, "no memory for the tables of a huge-page file"),
            Self::NoWindow => {
                write!(f, "{WINDOWS_PER_SIZE} files of this page size exist already, the maximum")
            }
        }
    }
}

/// What happens to the pages that a failed [`HugeFile::fallocate`](super::HugeFile::fallocate) has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// They return to the pool: all or nothing.
    Release,
    /// The file keeps them.
    Keep,
}

/// Why the pages of a range were not all provided.
#[derive(Debug)]
pub enum FallocateError {
    /// The range is invalid; nothing was done.
    Range(FileError),
    /// The job was not started.
    Job(Invalid),
    /// A page could not be provided.
    Page {
        /// The error.
        error: FileError,
        /// The pool before.
        before: PoolCount,
        /// The pool afterwards.
        after: PoolCount,
    },
}

impl fmt::Display for FallocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::Job(invalid) => invalid.fmt(f),
            Self::Page { error, before, after } => {
                write!(f, "{error}; before: {before}; now: {after}")
            }
        }
    }
}
