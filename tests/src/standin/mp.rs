//! The tables of the MultiProcessor Specification 1.4, for machines without ACPI.

use super::rom::Blob;
use super::tables::sum;

/// Returns a processor entry: APIC id and flags (1 enabled, 2 boot processor).
pub fn processor(apic: u8, flags: u8) -> Vec<u8> {
    // Family 15, model 0; the features are those of an APIC and an FPU.
    let mut entry = vec![0, apic, 0x14, flags, 0, 0x0f, 0, 0];
    entry.extend([0x201_u32, 0, 0].into_iter().flat_map(u32::to_le_bytes));
    entry
}

/// Returns the entry of the ISA bus, number 0.
pub fn isa_bus() -> Vec<u8> {
    let mut entry = vec![1, 0];
    entry.extend(b"ISA   ");
    entry
}

/// Returns the entry of an I/O APIC.
pub fn io_apic(id: u8, address: u32) -> Vec<u8> {
    let mut entry = vec![2, id, 0x11, 1];
    entry.extend(address.to_le_bytes());
    entry
}

/// Returns an entry that connects an ISA interrupt to an I/O APIC's input.
pub fn isa_interrupt(irq: u8, io_apic: u8, input: u8) -> Vec<u8> {
    vec![3, 0, 0, 0, 0, irq, io_apic, input]
}

/// Returns the configuration table with these entries.
pub fn table(entries: &[Vec<u8>]) -> Vec<u8> {
    let body = entries.concat();
    let mut table = b"PCMP".to_vec();
    table.extend((44 + body.len() as u16).to_le_bytes());
    table.extend([4, 0]);
    table.extend(b"KTASK   STAND-IN    ");
    table.extend([0; 6]);
    table.extend((entries.len() as u16).to_le_bytes());
    table.extend(0xfee0_0000_u32.to_le_bytes());
    table.extend([0; 4]);
    table.extend(body);
    table[7] = sum(&table).wrapping_neg();
    table
}

/// Returns the floating pointer at `at`, and `table` directly after it.
pub fn blobs(at: u64, table: Vec<u8>) -> [Blob; 2] {
    let table_at = at + 16;
    let mut pointer = b"_MP_".to_vec();
    pointer.extend((table_at as u32).to_le_bytes());
    pointer.extend([1, 4, 0, 0, 0, 0, 0, 0]);
    pointer[10] = sum(&pointer).wrapping_neg();
    [Blob { at, bytes: pointer }, Blob { at: table_at, bytes: table }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_zero_and_lengths_right() {
        let table = table(&[
            processor(0, 3),
            processor(1, 1),
            isa_bus(),
            io_apic(2, 0xfec0_0000),
            isa_interrupt(4, 2, 4),
        ]);
        assert_eq!(table.len(), 44 + 2 * 20 + 3 * 8);
        assert_eq!((sum(&table), u16::from_le_bytes([table[4], table[5]])), (0, table.len() as u16));
        let [pointer, second] = blobs(0x9_f000, table);
        assert_eq!((pointer.bytes.len(), sum(&pointer.bytes), second.at), (16, 0, 0x9_f010));
    }
}
