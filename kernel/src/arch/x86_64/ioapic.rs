//! The I/O APIC, which routes the interrupt lines of devices to CPUs.

/// Selects a register.
const SELECT: u64 = 0x00;
/// Accesses the selected register.
const WINDOW: u64 = 0x10;
/// Ends the level interrupt whose vector is written; since version 0x20.
const END_OF_INTERRUPT: u64 = 0x40;
const HAS_END_OF_INTERRUPT: u32 = 0x20;
const PAGE_BYTES: u64 = 4096;

const REG_VERSION: u32 = 0x01;
/// First redirection entry; each pin has two registers.
const REG_REDIRECTION: u32 = 0x10;

const VECTOR: u32 = 0xff;
const DELIVERY_MODE: u32 = 0b111 << 8;
const DELIVER_SMI: u32 = 0b010 << 8;
const DELIVER_NMI: u32 = 0b100 << 8;
/// A CPU has taken a level interrupt and has not ended it.
const REMOTE_IRR: u32 = 1 << 14;
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;
/// Position of the destination's APIC id in the high half of a redirection entry.
const DESTINATION_SHIFT: u32 = 24;

/// Most pins that the architecture allows.
const MAX_PINS: u32 = 240;

/// An I/O APIC.
pub struct IoApic {
    /// Virtual address of the registers.
    base: u64,
}

/// The way in which a pin interrupts.
#[derive(Debug, Clone, Copy)]
pub struct Redirection {
    /// The vector that the CPU takes.
    pub vector: u8,
    /// The CPU's APIC id, of at most 8 bits.
    pub apic_id: u8,
    /// Whether a low level signals an interrupt.
    pub is_active_low: bool,
    /// Whether a level signals an interrupt, not an edge.
    pub is_level: bool,
}

impl Redirection {
    /// Interrupts the CPU with APIC id 0 on vector 0, at a rising edge.
    pub const EDGE: Self = Self { vector: 0, apic_id: 0, is_active_low: false, is_level: false };
}

impl IoApic {
    /// Returns the I/O APIC whose registers are mapped at `base`; `None` if there is none.
    ///
    /// # Safety
    /// 1. `base` is 16-aligned and maps 0x14 bytes of physical addresses that are not memory, uncached, for good.
    /// 2. No other code uses the registers, two of which work as a pair (invariant 16).
    pub unsafe fn new(base: u64) -> Option<Self> {
        let mut io_apic = Self { base };
        // An address without a device reads as all ones or zeros.
        let is_there = io_apic.read(REG_VERSION) != 0 && io_apic.pins() <= MAX_PINS;
        is_there.then_some(io_apic)
    }

    /// Returns the number of pins.
    pub fn pins(&mut self) -> u32 {
        (self.read(REG_VERSION) >> 16 & 0xff) + 1
    }

    /// Makes a pin interrupt as `to` says. Returns false if there is no such pin.
    pub fn redirect(&mut self, pin: u8, to: Redirection) -> bool {
        let signal = if to.is_active_low { ACTIVE_LOW } else { 0 } | if to.is_level { LEVEL } else { 0 };
        self.set_entry(pin, to.apic_id, u32::from(to.vector) | signal)
    }

    /// Makes a pin send NMIs at rising edges to the CPU with this APIC id. Returns false if there is no such pin.
    pub fn redirect_as_nmi(&mut self, pin: u8, apic_id: u8) -> bool {
        self.set_entry(pin, apic_id, DELIVER_NMI)
    }

    /// Writes a pin's entry: the CPU's APIC id, and the low half. Returns false if there is no such pin.
    fn set_entry(&mut self, pin: u8, apic_id: u8, low_half: u32) -> bool {
        if u32::from(pin) >= self.pins() {
            return false;
        }
        let register = REG_REDIRECTION + u32::from(pin) * 2;
        // Masked while the halves belong to different entries.
        self.mask(pin);
        self.write(register + 1, u32::from(apic_id) << DESTINATION_SHIFT);
        self.write(register, low_half);
        true
    }

    /// Masks a pin.
    pub fn mask(&mut self, pin: u8) {
        self.write(REG_REDIRECTION + u32::from(pin) * 2, MASKED);
    }

    /// Whether a pin is unmasked. A pin that interrupts the firmware by SMI does not count.
    pub fn is_open(&mut self, pin: u8) -> bool {
        let entry = self.read(REG_REDIRECTION + u32::from(pin) * 2);
        entry & MASKED == 0 && entry & DELIVERY_MODE != DELIVER_SMI
    }

    /// Masks a pin, whatever its entry was, and ends a level interrupt that a CPU took and never ended. Otherwise the
    /// pin would never interrupt again. A pin that interrupts the firmware by SMI stays as it is.
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
                // SAFETY: I/O APICs of this version have the register, and it lies in the mapped page (1 of `new`).
                unsafe {
                    ((self.base + END_OF_INTERRUPT) as *mut u32).write_volatile(entry & VECTOR);
                }
            } else {
                // A change to edge mode clears the pending level.
                self.write(register, (entry | MASKED) & !LEVEL);
                self.write(register, entry | MASKED | LEVEL);
            }
        }
        self.write(register, MASKED);
        self.write(register + 1, 0);
    }

    fn read(&mut self, register: u32) -> u32 {
        // SAFETY: the registers are mapped, and this is their only driver (1 and 2 of `new`). Both are aligned words.
        unsafe {
            ((self.base + SELECT) as *mut u32).write_volatile(register);
            ((self.base + WINDOW) as *const u32).read_volatile()
        }
    }

    fn write(&mut self, register: u32, value: u32) {
        // SAFETY: as for `read`. Only this module writes, entries that the architecture allows.
        unsafe {
            ((self.base + SELECT) as *mut u32).write_volatile(register);
            ((self.base + WINDOW) as *mut u32).write_volatile(value);
        }
    }
}
