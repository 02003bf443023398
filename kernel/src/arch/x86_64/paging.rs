//! The kernel's page tables: one address space, in which every page has the least rights that it needs.
//!
//! Virtual layout, all of it above the hole of non-canonical addresses:
//!
//! | from | what |
//! |---|---|
//! | `0xffff_8000_0000_0000` | physical map: all of physical memory, up to 64 TiB |
//! | `0xffff_c000_0000_0000` | stacks, each with an unmapped page below |
//! | `0xffff_c800_0000_0000` | huge-page files |
//! | `0xffff_d000_0000_0000` | device registers, uncached; video memory, write-combining |
//! | `0xffff_e000_0000_0000` | page descriptors, indexed by page frame number |
//! | `0xffff_ffff_8000_0000` | the kernel image |
//!
//! Code accesses the tables through the physical map. The mapping functions do not synchronise: [`crate::mm`] has the
//! only instance, behind a lock.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use x86_64::PhysAddr;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::{PageTableFlags, PhysFrame};

use super::cpu;
pub use super::rights::Rights;

/// Virtual address of physical address 0, in the physical map.
pub const PHYS_MAP_BASE: u64 = 0xffff_8000_0000_0000;
/// Size of the physical map: 46 address bits.
pub const PHYS_MAP_BYTES: u64 = 1 << 46;
/// Virtual address of the area of thread and interrupt stacks.
pub const STACKS_BASE: u64 = 0xffff_c000_0000_0000;
/// Virtual address of the area of huge-page files.
pub const HUGE_FILES_BASE: u64 = 0xffff_c800_0000_0000;
/// Virtual address of the area of device registers and video memory.
pub const DEVICES_BASE: u64 = 0xffff_d000_0000_0000;
/// Virtual address of the array of page descriptors.
pub const DESCRIPTORS_BASE: u64 = 0xffff_e000_0000_0000;

/// Bytes of physical memory that the boot map maps, until the kernel's page tables are in use (invariant 13).
pub const BOOT_MAP_BYTES: u64 = 4 << 30;

/// Size of the smallest page.
pub const PAGE_BYTES: u64 = 4096;

const ENTRIES: usize = 512;
const ADDRESS_BITS: u64 = 0x000f_ffff_ffff_f000;
/// Flags of entries that point to tables. They allow everything: the leaf entry has the rights.
const TABLE_FLAGS: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE);

/// Returns the virtual address of a physical address, in the physical map.
pub fn phys_to_virt(address: u64) -> u64 {
    debug_assert!(address < PHYS_MAP_BYTES);
    PHYS_MAP_BASE + address
}

/// Why a range could not be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// There is no page frame for a table.
    NoTableFrame,
    /// A page of the range is mapped already.
    AlreadyMapped {
        /// The page's virtual address.
        virt: u64,
    },
    /// The range is empty, not page-aligned, or wraps.
    BadRange,
    /// The CPU has no pages of this size.
    NoSuchPages,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoTableFrame => write!(f, "no page frame left for a page table"),
            Self::AlreadyMapped { virt } => write!(f, "virtual address {virt:#x} is mapped already"),
            Self::NoSuchPages => write!(f, "this cpu has no pages of this size"),
            Self::BadRange => write!(f, "the range to map must be page-aligned, not empty and must not wrap"),
        }
    }
}

/// A tree of page tables.
#[derive(Debug)]
pub struct PageTables {
    root: u64,
}

/// Level of a table. Its entries map pages of 4 KiB (0), 2 MiB (1) or 1 GiB (2), or only point to further tables (3).
pub type Level = u32;

fn entry_bytes(level: Level) -> u64 {
    PAGE_BYTES << (9 * level)
}

fn index(virt: u64, level: Level) -> usize {
    (virt / entry_bytes(level)) as usize % ENTRIES
}

/// Returns the highest level whose pages the CPU has.
fn highest_leaf_level() -> Level {
    if cpu::features().pages_1g { 2 } else { 1 }
}

impl PageTables {
    /// Returns an empty tree. `alloc` returns page frames by physical address, whatever they contain. The tables own
    /// them from then on (invariant 12).
    pub fn new(alloc: &mut dyn FnMut() -> Option<u64>) -> Option<Self> {
        Some(Self { root: new_table(alloc)? })
    }

    /// Returns the tables that this CPU uses now.
    pub fn active() -> Self {
        Self { root: Cr3::read().0.start_address().as_u64() }
    }

    /// Returns the physical address of the root.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Switches this CPU to these tables.
    ///
    /// # Safety
    /// The tables map the running code, its stack and all memory that it uses.
    pub unsafe fn activate(&self) {
        let root = PhysFrame::containing_address(PhysAddr::new(self.root));
        // SAFETY: the caller promises the mappings. The root is a page frame that the tables own.
        unsafe { Cr3::write(root, x86_64::registers::control::Cr3Flags::empty()) };
    }

    /// Shares the upper half of the address space with `other`.
    pub fn copy_upper_half(&mut self, other: &PageTables) {
        for index in ENTRIES / 2..ENTRIES {
            write_entry(self.root, index, read_entry(other.root, index));
        }
    }

    /// Maps `phys..phys + len_bytes` at `virt`, with the largest pages that alignment and CPU allow. On an error, the
    /// part that was mapped stays mapped.
    pub fn map(
        &mut self,
        virt: u64,
        phys: u64,
        len_bytes: u64,
        rights: Rights,
        alloc: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), MapError> {
        let range_is_good = len_bytes > 0
            && (virt | phys | len_bytes).is_multiple_of(PAGE_BYTES)
            && virt.checked_add(len_bytes - 1).is_some();
        if !range_is_good {
            return Err(MapError::BadRange);
        }
        let mut done = 0;
        while done < len_bytes {
            let (virt, phys) = (virt + done, phys + done);
            let level = (0..=highest_leaf_level())
                .rev()
                .find(|level| {
                    let bytes = entry_bytes(*level);
                    (virt | phys).is_multiple_of(bytes) && len_bytes - done >= bytes
                })
                .expect("level 0 fits, because all three are page-aligned");
            self.map_one(virt, phys, level, rights, alloc)?;
            done += entry_bytes(level);
        }
        Ok(())
    }

    /// Maps every page of `virt..virt + len_bytes` to the one page at `phys`.
    ///
    /// All tables of one level have the same entries, so one table for each level serves the whole range. Any length
    /// costs a few tables. Nothing can be mapped in the range later, because all of it is mapped.
    pub fn map_repeated(
        &mut self,
        virt: u64,
        phys: u64,
        len_bytes: u64,
        rights: Rights,
        alloc: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), MapError> {
        if !(virt | phys | len_bytes).is_multiple_of(PAGE_BYTES) || virt.checked_add(len_bytes).is_none() {
            return Err(MapError::BadRange);
        }
        // The entry at each level: the page itself, then tables that are full of the entry below.
        let mut alike = [Some(phys | rights.flags()), None, None, None];
        let mut done = 0;
        while done < len_bytes {
            let virt = virt + done;
            let level = (0..=3).rev().find(|level| {
                virt.is_multiple_of(entry_bytes(*level)) && len_bytes - done >= entry_bytes(*level)
            });
            let level = level.expect("level 0 fits, because both are page-aligned");
            for level in 1..=level as usize {
                if alike[level].is_none() {
                    let table = new_table(alloc).ok_or(MapError::NoTableFrame)?;
                    let below = alike[level - 1].expect("levels are filled from below");
                    (0..ENTRIES).for_each(|index| write_entry(table, index, below));
                    alike[level] = Some(table | TABLE_FLAGS.bits());
                }
            }
            self.place(virt, level, alike[level as usize].expect("just filled"), alloc)?;
            done += entry_bytes(level);
        }
        Ok(())
    }

    fn map_one(
        &mut self,
        virt: u64,
        phys: u64,
        leaf_level: Level,
        rights: Rights,
        alloc: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), MapError> {
        let huge = if leaf_level > 0 { PageTableFlags::HUGE_PAGE.bits() } else { 0 };
        self.place(virt, leaf_level, phys | rights.flags() | huge, alloc)
    }

    /// Returns the table of level `at_level` that holds the entry for `virt`. Adds missing tables.
    fn table_at(
        &mut self,
        virt: u64,
        at_level: Level,
        alloc: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<u64, MapError> {
        let mut table = self.root;
        for level in (at_level + 1..=3).rev() {
            table = match step(read_entry(table, index(virt, level)), level) {
                Step::Table(next) => next,
                Step::Page(_) => return Err(MapError::AlreadyMapped { virt }),
                Step::Empty => {
                    let next = new_table(alloc).ok_or(MapError::NoTableFrame)?;
                    write_entry(table, index(virt, level), next | TABLE_FLAGS.bits());
                    next
                }
            };
        }
        Ok(table)
    }

    /// Writes `entry` for `virt` into the table of level `at_level`.
    fn place(
        &mut self,
        virt: u64,
        at_level: Level,
        entry: u64,
        alloc: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), MapError> {
        let table = self.table_at(virt, at_level, alloc)?;
        let slot = index(virt, at_level);
        if read_entry(table, slot) != 0 {
            return Err(MapError::AlreadyMapped { virt });
        }
        // No flush: the entry was not present, and CPUs do not cache entries that are not present.
        write_entry(table, slot, entry);
        Ok(())
    }

    /// Returns the table that maps `virt` by pages of 2 MiB (`level` 1) or 1 GiB (2). Adds a missing table. Such tables
    /// are never freed.
    pub fn leaf_table(
        &mut self,
        virt: u64,
        level: Level,
        alloc: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<LeafTable, MapError> {
        if !(1..=highest_leaf_level()).contains(&level) {
            return Err(MapError::NoSuchPages);
        }
        Ok(LeafTable { table: self.table_at(virt, level, alloc)? })
    }

    /// Returns the entry of the page that contains `virt`, and the physical address of `virt`.
    fn leaf(&self, virt: u64) -> Option<(u64, u64)> {
        walk(self.root, virt, |table, index| Some(read_entry(table, index)))
    }

    /// Returns the physical address of `virt`, if it is mapped.
    pub fn translate(&self, virt: u64) -> Option<u64> {
        Some(self.leaf(virt)?.1)
    }

    /// Returns the entry of the page attribute table that the page at `virt` selects. The kernel's mappings use entries 0 to 3.
    pub fn memory_type_of(&self, virt: u64) -> Option<usize> {
        let flags = PageTableFlags::from_bits_truncate(self.leaf(virt)?.0);
        let (high, low) =
            (flags.contains(PageTableFlags::NO_CACHE), flags.contains(PageTableFlags::WRITE_THROUGH));
        Some(usize::from(high) * 2 + usize::from(low))
    }

    /// Returns the rights of the page at `virt` as (writable, executable).
    pub fn rights_of(&self, virt: u64) -> Option<(bool, bool)> {
        let flags = PageTableFlags::from_bits_truncate(self.leaf(virt)?.0);
        let executable = !flags.contains(PageTableFlags::NO_EXECUTE);
        Some((flags.contains(PageTableFlags::WRITABLE), executable))
    }
}

/// Returns the entry of the page that contains `virt` in the tables from `root` on, and the physical address of `virt`.
/// `read_entry` reads an entry of the table at a physical address, if it can.
pub(super) fn walk(
    root: u64,
    virt: u64,
    read_entry: impl Fn(u64, usize) -> Option<u64>,
) -> Option<(u64, u64)> {
    let mut table = root;
    for level in (0..=3).rev() {
        let entry = read_entry(table, index(virt, level))?;
        match step(entry, level) {
            Step::Empty => return None,
            Step::Table(next) => table = next,
            Step::Page(phys) => return Some((entry, phys + virt % entry_bytes(level))),
        }
    }
    None
}

/// A table of huge pages. Any CPU may set and clear single entries without a lock, because each entry has one owner.
#[derive(Debug)]
pub struct LeafTable {
    table: u64,
}

impl LeafTable {
    /// Number of entries.
    pub const ENTRIES: u64 = ENTRIES as u64;

    /// Maps the page at `phys`, readable and writable, by an empty entry.
    pub fn set(&self, index: usize, phys: u64) -> Result<(), MapError> {
        let entry = phys | Rights::Data.flags() | PageTableFlags::HUGE_PAGE.bits();
        // No flush: the entry was not present.
        match self.entry(index).compare_exchange(0, entry, SeqCst, SeqCst) {
            Ok(_) => Ok(()),
            Err(_) => Err(MapError::AlreadyMapped { virt: index as u64 }),
        }
    }

    /// Empties an entry. A CPU may access the page until it has flushed its TLB.
    pub fn clear(&self, index: usize) {
        self.entry(index).store(0, SeqCst);
    }

    fn entry(&self, index: usize) -> &AtomicU64 {
        assert!(index < ENTRIES);
        // SAFETY:
        // 1. The table is a page frame that is never freed, and the physical map maps it (invariant 11). The index is in
        //    range, and entries are aligned.
        // 2. All accesses to entries of such tables are atomic: those of these methods, and those of the CPU.
        unsafe { AtomicU64::from_ptr((phys_to_virt(self.table) as *mut u64).add(index)) }
    }
}

enum Step {
    Empty,
    Table(u64),
    Page(u64),
}

fn step(entry: u64, level: Level) -> Step {
    let flags = PageTableFlags::from_bits_truncate(entry);
    if !flags.contains(PageTableFlags::PRESENT) {
        Step::Empty
    } else if level == 0 {
        Step::Page(entry & ADDRESS_BITS)
    } else if flags.contains(PageTableFlags::HUGE_PAGE) {
        Step::Page(entry & ADDRESS_BITS & !(entry_bytes(level) - 1))
    } else {
        Step::Table(entry & ADDRESS_BITS)
    }
}

fn new_table(alloc: &mut dyn FnMut() -> Option<u64>) -> Option<u64> {
    let table = alloc()?;
    // SAFETY:
    // 1. `alloc` gave the frame to the tables (invariant 12), and the physical map maps it (invariants 11, 13).
    // 2. The frame is a whole page.
    unsafe { (phys_to_virt(table) as *mut u8).write_bytes(0, PAGE_BYTES as usize) };
    Some(table)
}

fn read_entry(table: u64, index: usize) -> u64 {
    assert!(index < ENTRIES);
    // SAFETY: `table` is the frame of a page table, which the physical map maps (invariants 11, 13). The index is in
    // range. Volatile, because the CPU sets accessed and dirty bits.
    unsafe { (phys_to_virt(table) as *const u64).add(index).read_volatile() }
}

fn write_entry(table: u64, index: usize, entry: u64) {
    assert!(index < ENTRIES);
    // SAFETY: as for `read_entry`. The callers replace only empty entries, by mappings that invariants 11, 12 and 15
    // allow.
    unsafe { (phys_to_virt(table) as *mut u64).add(index).write_volatile(entry) };
}
