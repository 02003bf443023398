//! ACPI tables, byte by byte, with any contents and right checksums.

/// Returns the sum of all bytes, which is 0 in a valid table.
pub fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Returns a table with its header.
pub fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.extend((HEADER_BYTES as u32 + body.len() as u32).to_le_bytes());
    table.extend([revision, 0]);
    table.extend(b"KTASK STAND-IN");
    table.extend(1_u32.to_le_bytes());
    table.extend(b"TEST");
    table.extend(1_u32.to_le_bytes());
    table.extend(body);
    set_sum(&mut table, 9);
    table
}

const HEADER_BYTES: usize = 36;

/// Sets the byte at `at` so that the sum is 0.
fn set_sum(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = sum(bytes).wrapping_neg();
}

/// Returns the root pointer. Revision 0 is 20 bytes long and has no XSDT.
pub fn root_pointer(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut pointer = b"RSD PTR \0KTASK ".to_vec();
    pointer.push(revision);
    pointer.extend(rsdt.to_le_bytes());
    set_sum(&mut pointer, 8);
    if revision > 0 {
        pointer.extend(36_u32.to_le_bytes());
        pointer.extend(xsdt.to_le_bytes());
        pointer.extend([0; 4]);
        set_sum(&mut pointer, 32);
    }
    pointer
}

/// Returns the MADT entry of a CPU with an APIC id of eight bits.
pub fn local_apic(id: u8, flags: u32) -> Vec<u8> {
    [&[0, 8, id, id][..], &flags.to_le_bytes()].concat()
}

/// Returns the MADT entry of a CPU with an APIC id of 32 bits.
pub fn local_x2apic(id: u32, flags: u32) -> Vec<u8> {
    let mut entry = vec![9, 16, 0, 0];
    entry.extend([id, flags, id].into_iter().flat_map(u32::to_le_bytes));
    entry
}

/// Returns the MADT entry of an I/O APIC.
pub fn io_apic(id: u8, address: u32, first_interrupt: u32) -> Vec<u8> {
    let mut entry = vec![1, 12, id, 0];
    entry.extend([address, first_interrupt].into_iter().flat_map(u32::to_le_bytes));
    entry
}

/// Returns the MADT entry that routes an ISA interrupt to another input.
pub fn interrupt_override(bus: u8, irq: u8, interrupt: u32, flags: u16) -> Vec<u8> {
    let mut entry = vec![2, 10, bus, irq];
    entry.extend(interrupt.to_le_bytes());
    entry.extend(flags.to_le_bytes());
    entry
}

/// Flag of the MADT: there are two 8259s.
pub const HAS_8259: u32 = 1;

/// Returns the table of CPUs and interrupt controllers.
pub fn madt(flags: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut body = 0xfee0_0000_u32.to_le_bytes().to_vec();
    body.extend(flags.to_le_bytes());
    body.extend(entries.concat());
    table(b"APIC", 5, &body)
}

/// Returns the HPET table, with the usual address.
pub fn hpet() -> Vec<u8> {
    let mut body = 0x8086_a201_u32.to_le_bytes().to_vec();
    body.extend(MEMORY.address(0xfed0_0000));
    body.extend([0; 4]);
    table(b"HPET", 1, &body)
}

/// Returns the table of one memory-mapped configuration space, of 256 buses.
pub fn mcfg(base: u64) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend(base.to_le_bytes());
    // Segment 0, buses 0 to 255.
    body.extend([0, 0, 0, 255, 0, 0, 0, 0]);
    table(b"MCFG", 1, &body)
}

/// An address space, and the width of its registers.
#[derive(Clone, Copy, Debug)]
struct Space {
    number: u8,
    bits: u8,
}

const MEMORY: Space = Space { number: 0, bits: 0 };

impl Space {
    /// Returns a generic address.
    fn address(self, address: u64) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..2].copy_from_slice(&[self.number, self.bits]);
        bytes[4..].copy_from_slice(&address.to_le_bytes());
        bytes
    }
}

/// Returns a port of `bits` as a generic address.
fn port(port: u16, bits: u8) -> [u8; 12] {
    Space { number: 1, bits }.address(port.into())
}

/// Which of two fields of the FADT has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// The old field, of 32 bits.
    Narrow,
    /// The new field, of 64 bits.
    Wide,
}

/// The fixed description table: the fields that the kernel may read.
#[derive(Clone, Copy, Debug)]
pub struct Fadt {
    /// The table's length; later fields are omitted.
    pub len_bytes: usize,
    /// Fields with the addresses.
    pub fields: Fields,
    /// Lengths of the control registers, of a block that the kernel does not read, and of the timer.
    pub lengths: [u8; 3],
    /// Port of the first control register; 0 means none.
    pub pm1a: u16,
    /// Port of the second control register; 0 means none.
    pub pm1b: u16,
    /// Port of the timer; 0 means none.
    pub timer: u16,
    /// Port of the sleep control register of machines with reduced hardware.
    pub sleep_control: u16,
    /// Port and value that reset the machine; port 0 means none.
    pub reset: (u16, u8),
    /// Feature flags.
    pub flags: u32,
}

/// FADT flag: there is a reset register.
pub const RESET_REGISTER: u32 = 1 << 10;
/// FADT flag: reduced hardware.
pub const HARDWARE_REDUCED: u32 = 1 << 20;
/// FADT flag: the timer has 32 bits.
pub const TIMER_32_BITS: u32 = 1 << 8;

impl Fadt {
    /// The table of q35.
    pub const Q35: Self = Self {
        len_bytes: 276,
        fields: Fields::Narrow,
        lengths: [2, 0, 4],
        pm1a: 0x604,
        pm1b: 0,
        timer: 0x608,
        sleep_control: 0,
        reset: (0, 0),
        flags: TIMER_32_BITS,
    };

    /// Returns the table, with the DSDT at `dsdt`.
    pub fn build(&self, dsdt: u64) -> Vec<u8> {
        let mut bytes = [0; 276];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        let narrow = |value: u64| if self.fields == Fields::Narrow { value as u32 } else { 0 }.to_le_bytes();
        put(40, &narrow(dsdt));
        for (old, new, register, bits) in
            [(64, 172, self.pm1a, 16), (68, 184, self.pm1b, 16), (76, 208, self.timer, 32)]
        {
            put(old, &narrow(register.into()));
            if self.fields == Fields::Wide && register != 0 {
                put(new, &port(register, bits));
            }
        }
        put(89, &self.lengths);
        put(112, &self.flags.to_le_bytes());
        if self.reset.0 != 0 {
            put(116, &port(self.reset.0, 8));
            put(128, &[self.reset.1]);
        }
        if self.fields == Fields::Wide {
            put(140, &dsdt.to_le_bytes());
        }
        if self.sleep_control != 0 {
            put(244, &port(self.sleep_control, 8));
            // The status register has the same address: the kernel does not read it.
            put(256, &port(self.sleep_control, 8));
        }
        let revision = if self.len_bytes < 132 { 1 } else { 6 };
        table(b"FACP", revision, &bytes[HEADER_BYTES..self.len_bytes])
    }
}

/// AML: `Name (_S5_, Package () { 0, 0, 0, 0 })`. On q35, sleep type 0 powers the machine off.
pub const S5: &[u8] = b"\x08_S5_\x12\x06\x04\x00\x00\x00\x00";

/// AML: `Name (_S5_, Package () { 5 })`, as in Cloud Hypervisor.
pub const S5_OF_ONE: &[u8] = b"\x08_S5_\x12\x04\x01\x0a\x05";

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn checksums_are_zero_and_lengths_right() {
        for table in [
            madt(0, &[local_apic(0, 1)]),
            hpet(),
            mcfg(0xe800_0000),
            Fadt::Q35.build(0x1000),
            table(b"DSDT", 1, S5),
        ] {
            assert_eq!((sum(&table), word(&table, 4)), (0, table.len() as u32));
        }
        for (revision, len) in [(0, 20), (1, 36), (2, 36)] {
            let pointer = root_pointer(revision, 0x1000, 0x2000);
            assert_eq!((pointer.len(), sum(&pointer[..20]), sum(&pointer)), (len, 0, 0), "{revision}");
        }
    }

    #[test]
    fn entries_have_their_stated_lengths() {
        let entries = [
            local_apic(1, 1),
            local_x2apic(1, 1),
            io_apic(0, 0xfec0_0000, 0),
            interrupt_override(0, 0, 2, 0),
        ];
        for entry in entries {
            assert_eq!(entry.len(), usize::from(entry[1]));
        }
        assert_eq!(hpet().len(), 56);
    }

    #[test]
    fn address_is_in_one_of_its_fields() {
        let narrow = Fadt::Q35.build(0x1000);
        assert_eq!([40, 64, 76, 140, 176, 212].map(|at| word(&narrow, at)), [0x1000, 0x604, 0x608, 0, 0, 0]);
        let wide = Fadt { fields: Fields::Wide, ..Fadt::Q35 }.build(0x1000);
        assert_eq!([40, 64, 76, 140, 176, 212].map(|at| word(&wide, at)), [0, 0, 0, 0x1000, 0x604, 0x608]);
        assert_eq!(Fadt { len_bytes: 116, ..Fadt::Q35 }.build(0).len(), 116);
    }
}
