//! Registers of ACPI's fixed hardware: at I/O ports, in memory or in PCI configuration space.

use x86_64::instructions::port::Port;

use super::irq::IrqGuard;
use super::{cpu, tsc};

/// Ports that access PCI configuration space.
const PCI_ADDRESS: u16 = 0xcf8;
const PCI_DATA: u16 = 0xcfc;
/// Bit of [`PCI_ADDRESS`]: the access goes to configuration space.
const PCI_ENABLE: u32 = 1 << 31;

/// Bit of a PM1 control register: the hardware is in ACPI mode.
const SCI_ENABLE: u32 = 1 << 0;
/// Time limit for the firmware's switch to ACPI mode.
const ACPI_MODE_TIMEOUT_NS: u64 = 300_000_000;

/// The place of a register.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// At an I/O port.
    Port(u16),
    /// At a virtual address.
    Memory(u64),
    /// In the configuration space of PCI bus 0: the value of [`PCI_ADDRESS`] for the word, and the byte in the word.
    PciConfig(u32, u8),
}

impl Place {
    /// Returns the place of a byte in the configuration space of bus 0.
    pub const fn pci_config(device: u8, function: u8, offset: u8) -> Self {
        let word = (device as u32) << 11 | (function as u32) << 8 | (offset & !3) as u32;
        Self::PciConfig(PCI_ENABLE | word, offset & 3)
    }
}

/// A register of up to 4 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Register {
    place: Place,
    bytes: u8,
    access_bytes: u8,
}

impl Register {
    /// Returns the register of `bytes` bytes at `place`, with accesses of `access_bytes` each. Both are 1, 2 or 4.
    ///
    /// # Safety
    /// 1. A place in memory maps the whole register uncached, for good, and is aligned to `access_bytes`.
    /// 2. The firmware's tables describe the register, and its owner is its only driver (invariant 16).
    pub const unsafe fn new(place: Place, bytes: u8, access_bytes: u8) -> Self {
        Self { place, bytes, access_bytes }
    }

    /// Reads the value, its lowest part first.
    pub fn read(self) -> u32 {
        let parts = (0..self.bytes).step_by(self.access_bytes.into());
        parts.fold(0, |value, offset| value | self.read_part(offset) << (8 * u32::from(offset)))
    }

    /// Writes the value, its lowest part first.
    pub fn write(self, value: u32) {
        for offset in (0..self.bytes).step_by(self.access_bytes.into()) {
            self.write_part(offset, value >> (8 * u32::from(offset)));
        }
    }

    fn read_part(self, offset: u8) -> u32 {
        // SAFETY: the caller of `new` promised a mapped and aligned register (1), which its owner reads (2). The guard
        // keeps the two ports of configuration space together.
        unsafe {
            match (self.place, self.access_bytes) {
                (Place::Port(port), 1) => Port::<u8>::new(port + u16::from(offset)).read().into(),
                (Place::Port(port), 2) => Port::<u16>::new(port + u16::from(offset)).read().into(),
                (Place::Port(port), _) => Port::<u32>::new(port + u16::from(offset)).read(),
                (Place::Memory(at), 1) => ((at + u64::from(offset)) as *const u8).read_volatile().into(),
                (Place::Memory(at), 2) => ((at + u64::from(offset)) as *const u16).read_volatile().into(),
                (Place::Memory(at), _) => ((at + u64::from(offset)) as *const u32).read_volatile(),
                (Place::PciConfig(address, byte), _) => {
                    let _irq = IrqGuard::new();
                    Port::<u32>::new(PCI_ADDRESS).write(address);
                    Port::<u8>::new(PCI_DATA + u16::from(byte)).read().into()
                }
            }
        }
    }

    fn write_part(self, offset: u8, value: u32) {
        // SAFETY: as for `read_part`. The owner intends the effect of the write (2).
        unsafe {
            match (self.place, self.access_bytes) {
                (Place::Port(port), 1) => Port::<u8>::new(port + u16::from(offset)).write(value as u8),
                (Place::Port(port), 2) => Port::<u16>::new(port + u16::from(offset)).write(value as u16),
                (Place::Port(port), _) => Port::<u32>::new(port + u16::from(offset)).write(value),
                (Place::Memory(at), 1) => ((at + u64::from(offset)) as *mut u8).write_volatile(value as u8),
                (Place::Memory(at), 2) => ((at + u64::from(offset)) as *mut u16).write_volatile(value as u16),
                (Place::Memory(at), _) => ((at + u64::from(offset)) as *mut u32).write_volatile(value),
                (Place::PciConfig(address, byte), _) => {
                    let _irq = IrqGuard::new();
                    Port::<u32>::new(PCI_ADDRESS).write(address);
                    Port::<u8>::new(PCI_DATA + u16::from(byte)).write(value as u8);
                }
            }
        }
    }
}

/// The registers of a group of events, with a bit for each event.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    /// The events that have occurred. Writing a bit clears it.
    pub status: Register,
    /// The events that interrupt.
    pub enable: Register,
}

/// The means to put the hardware into ACPI mode.
#[derive(Debug, Clone, Copy)]
pub struct AcpiMode {
    /// PM1a and PM1b control registers.
    pub controls: [Option<Register>; 2],
    /// The firmware's command port, of one byte, and the command.
    pub command: Option<(Register, u8)>,
}

impl AcpiMode {
    /// Whether the hardware is in ACPI mode.
    pub fn is_on(&self) -> bool {
        self.controls.iter().flatten().any(|control| control.read() & SCI_ENABLE != 0)
    }

    /// Puts the hardware into ACPI mode, and returns whether it is in that mode. Hardware without a command always is.
    pub fn switch_on(&self) -> bool {
        let Some((port, command)) = self.command else { return true };
        if self.is_on() {
            return true;
        }
        port.write(command.into());
        wait_for(ACPI_MODE_TIMEOUT_NS, || self.is_on())
    }
}

/// Spins until `condition` holds, at most `ns`. Returns whether it holds.
pub fn wait_for(ns: u64, condition: impl Fn() -> bool) -> bool {
    let start_ns = tsc::now_ns();
    while !condition() {
        if tsc::now_ns().saturating_sub(start_ns) > ns {
            return false;
        }
        cpu::relax();
    }
    true
}
