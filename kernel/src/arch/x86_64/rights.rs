//! The rights of mapped pages, as flags of page table entries.

use x86_64::structures::paging::PageTableFlags;

use super::cpu;

/// The rights of a mapped page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Read and execute.
    Code,
    /// Read.
    ReadOnly,
    /// Read and write.
    Data,
    /// Read and write, uncached: device registers.
    Device,
    /// Read and write, uncached, and the CPU may combine writes: video memory.
    Video,
}

impl Rights {
    pub(super) fn flags(self) -> u64 {
        let flags = match self {
            Self::Code => PageTableFlags::PRESENT,
            Self::ReadOnly => PageTableFlags::PRESENT | PageTableFlags::NO_EXECUTE,
            Self::Data => PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE,
            Self::Device => {
                PageTableFlags::PRESENT
                    | PageTableFlags::WRITABLE
                    | PageTableFlags::NO_EXECUTE
                    | PageTableFlags::NO_CACHE
                    | PageTableFlags::WRITE_THROUGH
            }
            // Entry 1 of the page attribute table. Without the table, firmware's range registers decide.
            Self::Video => {
                let cache = if cpu::features().pat {
                    PageTableFlags::WRITE_THROUGH
                } else {
                    PageTableFlags::NO_CACHE
                };
                PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE | cache
            }
        };
        let without_nx = flags.difference(PageTableFlags::NO_EXECUTE);
        if cpu::features().nx { flags.bits() } else { without_nx.bits() }
    }
}
