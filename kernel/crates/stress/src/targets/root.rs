//! From memory with a root pointer to whole tables.

use std::cell::RefCell;

use firmware::mp::MpTables;
use firmware::reach::{PhysicalMemory, may_hold_tables};
use firmware::root::Tables;

use super::acpi::MAP;
use super::mp;
use crate::input::{Rng, fix_sum, sdt, seal_sdt};

/// Addresses of the tables.
const HIGH: u64 = 0x1fe0_0000;
const LOW_BYTES: usize = 1 << 20;
const HIGH_BYTES: usize = 1 << 13;
const XSDT: usize = 0;
const RSDT: usize = 0x100;
const SSDT: usize = 0x200;
const MADT: usize = 0x300;
const RSDP: usize = 0x400;
const EBDA: usize = 0x9_f000;
const MP_TABLE: usize = 0xf_4000;
const MP_POINTER: usize = 0xf_5000;

/// The first MiB, and some KiB of tables.
struct Memory {
    low: Vec<u8>,
    high: Vec<u8>,
    /// The bytes that an input changed, to be restored.
    undo: Vec<(bool, usize, u8)>,
}

impl Memory {
    fn sound() -> Self {
        let mut memory = Self { low: vec![0; LOW_BYTES], high: vec![0; HIGH_BYTES], undo: Vec::new() };
        let tables = [HIGH + SSDT as u64, 0, HIGH + MADT as u64];
        let wide: Vec<u8> = tables.iter().flat_map(|address| address.to_le_bytes()).collect();
        let narrow: Vec<u8> = tables.iter().flat_map(|address| (*address as u32).to_le_bytes()).collect();
        for (at, table) in [
            (XSDT, sdt(b"XSDT", 1, &wide)),
            (RSDT, sdt(b"RSDT", 1, &narrow)),
            (SSDT, sdt(b"SSDT", 1, b"\x08X___\x00")),
            (MADT, sdt(b"APIC", 1, &[0; 8])),
            (RSDP, rsdp()),
        ] {
            memory.high[at..at + table.len()].copy_from_slice(&table);
        }
        memory.low[0x40e..0x410].copy_from_slice(&((EBDA >> 4) as u16).to_le_bytes());
        memory.low[0x413..0x415].copy_from_slice(&639_u16.to_le_bytes());
        let table = &*mp::SOUND;
        memory.low[MP_TABLE..MP_TABLE + table.len()].copy_from_slice(table);
        let mut pointer = *b"_MP_\0\0\0\0\x01\x04\0\0\0\0\0\0";
        pointer[4..8].copy_from_slice(&(MP_TABLE as u32).to_le_bytes());
        fix_sum(&mut pointer, 10);
        memory.low[MP_POINTER..MP_POINTER + 16].copy_from_slice(&pointer);
        memory
    }

    fn set(&mut self, is_high: bool, at: usize, byte: u8) {
        let area = if is_high { &mut self.high } else { &mut self.low };
        let old = std::mem::replace(&mut area[at], byte);
        self.undo.push((is_high, at, old));
    }

    fn restore(&mut self) {
        while let Some((is_high, at, byte)) = self.undo.pop() {
            let area = if is_high { &mut self.high } else { &mut self.low };
            area[at] = byte;
        }
    }

    /// Corrects the checksum of the table at `at` in the upper area.
    fn seal(&mut self, at: usize) {
        let length = u32::from_le_bytes(self.high[at + 4..at + 8].try_into().expect("four bytes"));
        if let Some(table) = self.high.get(at..at + (length as usize).min(0x100)) {
            let mut sealed = table.to_vec();
            seal_sdt(&mut sealed);
            if let Some(sum) = sealed.get(9) {
                self.set(true, at + 9, *sum);
            }
        }
    }
}

fn rsdp() -> Vec<u8> {
    let mut bytes = b"RSD PTR \0TESTER\x02".to_vec();
    bytes.extend(((HIGH + RSDT as u64) as u32).to_le_bytes());
    fix_sum(&mut bytes, 8);
    bytes.extend(36_u32.to_le_bytes());
    bytes.extend((HIGH + XSDT as u64).to_le_bytes());
    bytes.extend([0; 4]);
    fix_sum(&mut bytes, 32);
    bytes
}

impl<'a> PhysicalMemory<'a> for &'a Memory {
    fn bytes(self, address: u64, len_bytes: u64) -> Option<&'a [u8]> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        let range = address..address.checked_add(len_bytes)?;
        if !may_hold_tables(&MAP, &range) {
            return None;
        }
        let part = |base: u64, area: &'a [u8]| {
            let start = usize::try_from(address.checked_sub(base)?).ok()?;
            area.get(start..start.checked_add(len_bytes as usize)?)
        };
        part(0, &self.low).or_else(|| part(HIGH, &self.high)).or_else(|| ZEROS.get(..len_bytes as usize))
    }
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::sound());
}

/// Searches any memory: the result is an error, or whole tables with their signatures.
pub fn run(rng: &mut Rng) -> bool {
    MEMORY.with_borrow_mut(|memory| {
        let is_taken = run_in(memory, rng);
        memory.restore();
        is_taken
    })
}

fn run_in(memory: &mut Memory, rng: &mut Rng) -> bool {
    // The search costs as much as hundreds of other steps. So most inputs keep the named pointer and one of the root
    // tables intact.
    let all = [(true, XSDT, 0x3c), (true, SSDT, 0x2a), (true, MADT, 0x2c), (true, RSDT, 0x30)];
    let areas = match rng.below(32) {
        0 => &all[..],
        1..16 => &all[..3],
        _ => &all[1..],
    };
    let rare = [(true, RSDP, 36), (false, 0x40e, 7), (false, MP_TABLE, 0x90), (false, MP_POINTER, 16)];
    for _ in 0..=rng.below(6) {
        let (is_high, at, len) = if rng.one_in(128) { rng.pick(&rare) } else { rng.pick(areas) };
        let (at, byte) = (at + rng.below(len), rng.byte());
        memory.set(is_high, at, byte);
    }
    if !rng.one_in(4) {
        [XSDT, RSDT, SSDT, MADT].into_iter().for_each(|at| memory.seal(at));
    }
    let named = if rng.one_in(1024) { None } else { Some(HIGH + RSDP as u64) };
    let memory = &*memory;
    if rng.one_in(1024)
        && let Ok(tables) = MpTables::find(memory)
    {
        mp::check(rng, tables);
    }
    let Ok((tables, report)) = Tables::find(memory, named) else { return false };
    assert!(named.is_some() || report.named.is_none(), "no problem with what was not named");
    for signature in [*b"APIC", *b"SSDT", *b"SRAT"] {
        for table in tables.find_table(signature).into_iter().chain(tables.all(signature)) {
            let length = u32::from_le_bytes(table[4..8].try_into().expect("four bytes"));
            assert!(table[..4] == signature && table.len() == length as usize && length >= 36);
            assert_eq!(table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        }
    }
    let _ = tables.unreachable();
    true
}
