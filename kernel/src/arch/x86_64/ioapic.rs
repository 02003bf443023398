//! The I/O APIC: brings a device's interrupt line to a CPU.

/// Selects a register.
const SELECT: u64 = 0x00;
/// The register that is selected.
const WINDOW: u64 = 0x10;
/// Ends the level interrupt with the vector that is written; since version 0x20.
const END_OF_INTERRUPT: u64 = 0x40;
const HAS_END_OF_INTERRUPT: u32 = 0x20;
const PAGE_BYTES: u64 = 4096;

const REG_VERSION: u32 = 0x01;
/// First of the redirection entries, two registers for each pin.
const REG_REDIRECTION: u32 = 0x10;

const VECTOR: u32 = 0xff;
const DELIVERY_MODE: u32 = 0b111 << 8;
const DELIVER_SMI: u32 = 0b010 << 8;
const DELIVER_NMI: u32 = 0b100 << 8;
/// A CPU has taken a level interrupt and not ended it.
const REMOTE_IRR: u32 = 1 << 14;
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;
/// Where the destination's APIC id is in a redirection entry's high half.
const DESTINATION_SHIFT: u32 = 24;

/// Pins that the architecture allows.
const MAX_PINS: u32 = 240;

/// An I/O APIC.
pub struct IoApic {
    /// Where its registers are mapped.
    base: u64,
}

/// How a pin is to interrupt.
#[derive(Debug, Clone, Copy)]
pub struct Redirection {
    /// The vector that the CPU takes.
    pub vector: u8,
    /// The CPU, by its APIC id; ids above 8 bits cannot be reached.
    pub apic_id: u8,
    /// Whether a low level means that there is an interrupt.
    pub is_active_low: bool,
    /// Whether it is signalled by a level, not by an edge.
    pub is_level: bool,
}

impl Redirection {
    /// Vector 0 of the CPU with APIC id 0, at a rising edge.
    pub const EDGE: Self = Self { vector: 0, apic_id: 0, is_active_low: false, is_level: false };
}

impl IoApic {
    /// The I/O APIC whose registers are mapped at `base`; `None` if there is none.
    ///
    /// # Safety
    /// 1. `base` is 16-aligned and maps 0x14 bytes of physical addresses that are no memory, uncached, for ever.
    /// 2. Nothing else uses what is there: two registers work as a pair.
    pub unsafe fn new(base: u64) -> Option<Self> {
        let mut io_apic = Self { base };
        // What is not there reads as all ones, or as zeros.
        let is_there = io_apic.read(REG_VERSION) != 0 && io_apic.pins() <= MAX_PINS;
        is_there.then_some(io_apic)
    }

    /// Pins that it has.
    pub fn pins(&mut self) -> u32 {
        (self.read(REG_VERSION) >> 16 & 0xff) + 1
    }

    /// Has a pin interrupt; false when there is no such pin.
    pub fn redirect(&mut self, pin: u8, to: Redirection) -> bool {
        let signal = if to.is_active_low { ACTIVE_LOW } else { 0 } | if to.is_level { LEVEL } else { 0 };
        self.set_entry(pin, to.apic_id, u32::from(to.vector) | signal)
    }

    /// Has a pin interrupt by NMI, at a rising edge, the CPU with this APIC id; false when there is no such pin.
    pub fn redirect_as_nmi(&mut self, pin: u8, apic_id: u8) -> bool {
        self.set_entry(pin, apic_id, DELIVER_NMI)
    }

    /// Points a pin to the CPU with this APIC id, `how` being the entry's low half; false when there is no such pin.
    fn set_entry(&mut self, pin: u8, apic_id: u8, how: u32) -> bool {
        if u32::from(pin) >= self.pins() {
            return false;
        }
        let register = REG_REDIRECTION + u32::from(pin) * 2;
        // Masked while the halves do not fit together.
        self.mask(pin);
        self.write(register + 1, u32::from(apic_id) << DESTINATION_SHIFT);
        self.write(register, how);
        true
    }

    /// Has a pin interrupt no more.
    pub fn mask(&mut self, pin: u8) {
        self.write(REG_REDIRECTION + u32::from(pin) * 2, MASKED);
    }

    /// Whether a pin interrupts a CPU. One that is left to the firmware, by SMI, does not count.
    pub fn is_open(&mut self, pin: u8) -> bool {
        let entry = self.read(REG_REDIRECTION + u32::from(pin) * 2);
        entry & MASKED == 0 && entry & DELIVERY_MODE != DELIVER_SMI
    }

    /// Masks a pin whatever the firmware made of it, and ends a level interrupt that a CPU took from it and never
    /// ended: the pin would be mute for ever. A pin that interrupts the firmware itself, by SMI, stays as it is.
    pub fn take_over(&mut self, pin: u8) {
        let register = REG_REDIRECTION + u32::from(pin) * 2;
        let entry = self.read(register);
        if entry & DELIVERY_MODE == DELIVER_SMI {
            return;
        }
        self.write(register, entry | MASKED);
        if self.read(register) & REMOTE_IRR != 0 {
            let is_in_page = self.base % PAGE_BYTES + END_OF_INTERRUPT + 4 <= PAGE_BYTES;
            if self.read(REG_VERSION) & 0xff >= HAS_END_OF_INTERRUPT && is_in_page {
                // SAFETY: the register is there since this version, in the page that is mapped (1 of `new`).
                unsafe {
                    ((self.base + END_OF_INTERRUPT) as *mut u32).write_volatile(entry & VECTOR);
                }
            } else {
                // An edge has nothing that could be left to end.
                self.write(register, (entry | MASKED) & !LEVEL);
                self.write(register, entry | MASKED | LEVEL);
            }
        }
        self.write(register, MASKED);
        self.write(register + 1, 0);
    }

    fn read(&mut self, register: u32) -> u32 {
        // SAFETY: the registers are mapped, and this is their only driver (1 and 2 of `new`); both are aligned words.
        unsafe {
            ((self.base + SELECT) as *mut u32).write_volatile(register);
            ((self.base + WINDOW) as *const u32).read_volatile()
        }
    }

    fn write(&mut self, register: u32, value: u32) {
        // SAFETY: as for `read`; what a redirection does is the caller's, this module's.
        unsafe {
            ((self.base + SELECT) as *mut u32).write_volatile(register);
            ((self.base + WINDOW) as *mut u32).write_volatile(value);
        }
    }
}
