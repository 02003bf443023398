//! The memory at the kernel's entry, and its layout.

use super::rom::{self, Blob, config};
use super::start_info::{self, Kind, Range, START_INFO_AT, range};
use super::tables::{self, Fadt};
use super::tags::{self, Multiboot2};

/// Memory of the machine that [`Handover::of_q35`] describes.
pub const MEMORY_MIB: u64 = 256;

const MIB: u64 = 1 << 20;
/// Address of q35's tables, in the last 2 MiB.
const TABLES_AT: u64 = (MEMORY_MIB - 2) * MIB;
/// Address of q35's extended BIOS data area.
pub const EBDA_AT: u64 = 0x9_f000;
/// Address of the word in low memory with the area's segment.
const EBDA_SEGMENT_AT: u64 = 0x40e;

/// State of a root table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The root pointer has address 0.
    Absent,
    /// The table is valid.
    Sound,
    /// The table's checksum is wrong.
    Damaged,
    /// The root pointer has an address without memory.
    Nowhere,
}

/// The root pointer and its two tables.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    /// The pointer's revision; 0 has no XSDT.
    pub revision: u8,
    /// The table of addresses of 64 bits.
    pub xsdt: State,
    /// The table of addresses of 32 bits.
    pub rsdt: State,
    /// Whether the tables have null addresses between the others.
    pub has_nulls: bool,
    /// Address of the pointer; `None` means after the tables.
    pub at: Option<u64>,
    /// Whether the start info has the pointer's address.
    pub is_named: bool,
}

/// Everything that firmware and loader leave to the kernel.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The loader; `None` is one by PVH.
    pub loader: Option<Multiboot2>,
    /// The memory map.
    pub map: Vec<Range>,
    /// The kernel's command line.
    pub command_line: Vec<u8>,
    /// The root of ACPI's tables; `None` for a machine without them.
    pub root: Option<Root>,
    /// Address of the tables.
    pub tables_at: u64,
    /// Alignment of the tables.
    pub align: u64,
    /// Flags of the MADT.
    pub madt_flags: u32,
    /// Entries for CPUs and interrupt controllers.
    pub madt: Vec<Vec<u8>>,
    /// The table of power management and the timer.
    pub fadt: Fadt,
    /// The DSDT's AML.
    pub dsdt: &'static [u8],
    /// Whether there is an HPET table.
    pub has_hpet: bool,
    /// Additional tables.
    pub more: Vec<Vec<u8>>,
    /// Additional memory contents.
    pub blobs: Vec<Blob>,
    /// Device registers and their values, written before anything is copied.
    pub writes: Vec<(u32, u8)>,
}

impl Handover {
    /// Returns a valid handover for q35 with two CPUs.
    pub fn of_q35() -> Self {
        use Kind::{Acpi, Reserved, Usable};
        Self {
            loader: None,
            map: vec![
                range(0, EBDA_AT, Usable),
                range(EBDA_AT, 0x1000, Reserved),
                range(0xf_0000, 0x1_0000, Reserved),
                range(MIB, TABLES_AT - MIB, Usable),
                range(TABLES_AT, MIB, Acpi),
                range(TABLES_AT + MIB, MIB, Reserved),
                range(0xb000_0000, 0x1000_0000, Reserved),
                range(0xfffc_0000, 0x4_0000, Reserved),
            ],
            command_line: b"run=none".to_vec(),
            root: Some(Root {
                revision: 2,
                xsdt: State::Sound,
                rsdt: State::Absent,
                has_nulls: false,
                at: None,
                is_named: true,
            }),
            tables_at: TABLES_AT,
            align: 64,
            madt_flags: tables::HAS_8259,
            madt: vec![
                tables::local_apic(0, 1),
                tables::local_apic(1, 1),
                tables::io_apic(0, 0xfec0_0000, 0),
                tables::interrupt_override(0, 0, 2, 0),
            ],
            fadt: Fadt::Q35,
            dsdt: tables::S5,
            has_hpet: true,
            more: Vec::new(),
            blobs: Vec::new(),
            // Enables the power management block, at 0x600.
            writes: vec![
                (config(31, 0, 0x40), 0x01),
                (config(31, 0, 0x41), 0x06),
                (config(31, 0, 0x44), 0x80),
            ],
        }
    }

    /// Returns the root pointer.
    pub fn root_mut(&mut self) -> &mut Root {
        self.root.as_mut().expect("the machine has ACPI")
    }

    /// Makes the loader one by Multiboot2, whose sound tags `edit` changes.
    pub fn by_multiboot2(&mut self, edit: fn(&mut Vec<tags::Tag>)) {
        // In usable memory, at no page's start.
        self.loader = Some(Multiboot2 { at: 0x6008, edit });
    }

    /// Maps memory at 0xa0000, where q35 has the screen.
    pub fn open_screen_memory(&mut self) {
        self.writes.push((config(0, 0, 0x9d), 0x42));
    }

    /// Maps memory from 0xc0000 to 1 MiB, where q35 has its ROM.
    pub fn open_bios_memory(&mut self) {
        self.writes.push((config(0, 0, 0x90), 0x30));
        self.writes.extend((0x91..=0x96).map(|register| (config(0, 0, register), 0x33)));
    }

    /// Sets the word with the segment of the extended BIOS data area.
    pub fn set_ebda(&mut self) {
        let segment = (EBDA_AT / 16) as u16;
        self.blobs.push(Blob { at: EBDA_SEGMENT_AT, bytes: segment.to_le_bytes().to_vec() });
    }

    /// Returns the usable memory of the map.
    pub fn usable_bytes(&self) -> u64 {
        let usable = self.map.iter().filter(|range| range.kind == Kind::Usable);
        usable.map(|range| range.len_bytes).sum()
    }

    /// Returns a ROM that hands this over to the kernel at `entry`.
    ///
    /// # Errors
    ///
    /// When it does not fit into the ROM.
    pub fn rom(&self, entry: u32) -> Result<Vec<u8>, String> {
        let mut blobs = self.blobs.clone();
        let root_at = self.root.map(|root| self.lay_out(root, &mut blobs));
        let named = root_at.filter(|_| self.root.is_some_and(|root| root.is_named));
        let Some(Multiboot2 { at, edit }) = self.loader else {
            blobs.extend(start_info::blobs(&self.map, &self.command_line, named.unwrap_or(0)));
            return rom::image(&self.writes, &blobs, [START_INFO_AT, 0], entry);
        };
        let pointer = blobs.iter().find(|blob| Some(blob.at) == named).map(|blob| blob.bytes.clone());
        let mut list = tags::sound(&self.map, &self.command_line, pointer.as_deref());
        edit(&mut list);
        blobs.push(tags::block(at, &list));
        rom::image(&self.writes, &blobs, [at, tags::MAGIC], entry)
    }

    /// Lays out ACPI's tables one after the other; returns the root pointer's address.
    fn lay_out(&self, root: Root, blobs: &mut Vec<Blob>) -> u64 {
        let mut layout = Layout { at: self.tables_at, align: self.align, blobs };
        let dsdt = layout.put(tables::table(b"DSDT", 2, self.dsdt));
        let mut addresses =
            vec![layout.put(self.fadt.build(dsdt)), layout.put(tables::madt(self.madt_flags, &self.madt))];
        if self.has_hpet {
            addresses.push(layout.put(tables::hpet()));
        }
        addresses.extend(self.more.iter().map(|table| layout.put(table.clone())));
        if root.has_nulls {
            addresses = addresses.into_iter().flat_map(|address| [0, address]).chain([0]).collect();
        }
        let wide = addresses.iter().flat_map(|address| address.to_le_bytes()).collect::<Vec<_>>();
        let narrow = addresses.iter().flat_map(|address| (*address as u32).to_le_bytes()).collect::<Vec<_>>();
        let xsdt = layout.put_root(root.xsdt, tables::table(b"XSDT", 1, &wide));
        let rsdt = layout.put_root(root.rsdt, tables::table(b"RSDT", 1, &narrow));
        let pointer = tables::root_pointer(root.revision, rsdt as u32, xsdt);
        let at = root.at.unwrap_or_else(|| layout.next());
        layout.blobs.push(Blob { at, bytes: pointer });
        at
    }
}

/// Position of the next table.
struct Layout<'a> {
    at: u64,
    align: u64,
    blobs: &'a mut Vec<Blob>,
}

impl Layout<'_> {
    fn next(&self) -> u64 {
        self.at.next_multiple_of(self.align)
    }

    fn put(&mut self, bytes: Vec<u8>) -> u64 {
        let at = self.next();
        self.at = at + bytes.len() as u64;
        self.blobs.push(Blob { at, bytes });
        at
    }

    /// Adds a root table in `state`; returns its address for the root pointer.
    fn put_root(&mut self, state: State, mut table: Vec<u8>) -> u64 {
        match state {
            State::Absent => 0,
            State::Nowhere => 0x7fff_f000,
            State::Sound => self.put(table),
            State::Damaged => {
                table[9] ^= 1;
                self.put(table)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_from_the_root_pointer_to_the_tables_is_complete() {
        let handover = Handover::of_q35();
        let mut blobs = Vec::new();
        let root_at = handover.lay_out(handover.root.unwrap(), &mut blobs);
        let at = |address: u64| &blobs.iter().find(|blob| blob.at == address).unwrap().bytes;
        let pointer = at(root_at);
        let xsdt = at(u64::from_le_bytes(pointer[24..32].try_into().unwrap()));
        let named = xsdt[36..].chunks(8).map(|word| at(u64::from_le_bytes(word.try_into().unwrap())));
        assert_eq!(named.map(|table| &table[..4]).collect::<Vec<_>>(), [b"FACP", b"APIC", b"HPET"]);
        // In order, without overlap, and in the map's range for tables.
        for pair in blobs.windows(2) {
            assert!(pair[0].at + pair[0].bytes.len() as u64 <= pair[1].at);
        }
        assert!(blobs.iter().all(|blob| (TABLES_AT..TABLES_AT + MIB).contains(&blob.at)));
    }

    #[test]
    fn unnamed_root_is_not_in_the_start_info() {
        let mut handover = Handover::of_q35();
        let pointer_of = |handover: &Handover| {
            let rom = handover.rom(0x10_0000).unwrap();
            let magic = 0x336e_c578_u32.to_le_bytes();
            let at = rom.windows(4).position(|window| window == magic).unwrap();
            u64::from_le_bytes(rom[at + 32..at + 40].try_into().unwrap())
        };
        assert!(pointer_of(&handover) >= TABLES_AT);
        handover.root_mut().is_named = false;
        assert_eq!(pointer_of(&handover), 0);
    }
}
