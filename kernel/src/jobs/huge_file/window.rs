//! The address space of the files: windows of equal size, one for each file.

/// Address space of a file.
pub(super) const WINDOW_BYTES: u64 = 512 << 30;
/// Files that can exist at a time, for each page size. A window keeps its page tables, so it serves one page size only.
pub(super) const WINDOWS_PER_SIZE: usize = 8;
pub(super) const WINDOWS: usize = 2 * WINDOWS_PER_SIZE;
