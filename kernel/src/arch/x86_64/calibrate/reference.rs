//! Counters of known rate, against which others are measured: the ACPI PM timer, the HPET, the PIT, and the TSC once its
//! rate is known.

use timebase::source::Source;
use x86_64::instructions::port::Port;

use super::super::tsc;

/// A free-running counter of known rate.
pub trait Reference {
    /// Returns the source to report for rates that are measured against this counter.
    fn source(&self) -> Source;
    /// Returns the counts per second.
    fn hz(&self) -> u64;
    /// Returns the highest count, after which the counter wraps to 0.
    fn mask(&self) -> u64;
    /// Returns the count now.
    fn read(&mut self) -> u64;
}

/// The ACPI power management timer.
pub struct PmTimer {
    /// The I/O port, from the FADT.
    pub port: u16,
    /// Whether the counter has 32 bits, not 24.
    pub is_32_bit: bool,
}

impl Reference for PmTimer {
    fn source(&self) -> Source {
        Source::PmTimer
    }
    fn hz(&self) -> u64 {
        3_579_545
    }
    fn mask(&self) -> u64 {
        if self.is_32_bit { 0xffff_ffff } else { 0x00ff_ffff }
    }
    fn read(&mut self) -> u64 {
        // SAFETY: the FADT names the port of the PM timer, and a read has no side effect (invariant 16).
        u64::from(unsafe { Port::<u32>::new(self.port).read() }) & self.mask()
    }
}

/// The high precision event timer's main counter.
pub struct Hpet {
    base: u64,
    hz: u64,
}

impl Hpet {
    const CAPABILITIES: u64 = 0x00;
    const CONFIGURATION: u64 = 0x10;
    const MAIN_COUNTER: u64 = 0xf0;

    /// Starts the HPET that is mapped at virtual address `base`; `None` if its period is invalid.
    ///
    /// # Safety
    /// `base` maps the register block that the HPET table names, uncached, for good.
    pub unsafe fn new(base: u64) -> Option<Self> {
        // SAFETY: the caller promises the mapping. Setting bit 0 of the configuration starts the counter.
        unsafe {
            let period_fs = ((base + Self::CAPABILITIES) as *const u64).read_volatile() >> 32;
            // The specification allows up to 100 ns, and no HPET is faster than 0.1 ns. Checked before the write, which
            // must not go to other hardware.
            if !(100_000..=100_000_000).contains(&period_fs) {
                return None;
            }
            let configuration = (base + Self::CONFIGURATION) as *mut u64;
            configuration.write_volatile(configuration.read_volatile() | 1);
            Some(Self { base, hz: 1_000_000_000_000_000 / period_fs })
        }
    }
}

impl Reference for Hpet {
    fn source(&self) -> Source {
        Source::Hpet
    }
    fn hz(&self) -> u64 {
        self.hz
    }
    fn mask(&self) -> u64 {
        0xffff_ffff
    }
    fn read(&mut self) -> u64 {
        // SAFETY: the caller of `new` promised the mapping. Every HPET has the low half of the counter.
        u64::from(unsafe { ((self.base + Self::MAIN_COUNTER) as *const u32).read_volatile() })
    }
}

/// Channel 2 of the programmable interval timer, which causes no interrupt.
pub struct Pit;

/// Stops channel 0 of the programmable interval timer, which firmware left interrupting 18 times a second. Its line shares a
/// pin of the I/O APIC with the HPET's on some machines, where each tick would count as the HPET's.
pub fn stop_pit_ticks() {
    // Mode 0 counts down once: after a count of 1 the output stays as it is.
    const CHANNEL_0_ONCE: u8 = 0b0011_0000;
    // SAFETY: these are the PIT's ports on every PC, and no other driver uses them (invariant 16). The channel's line is
    // masked by now at the 8259s, and later at the I/O APICs, so nothing notices its last edge.
    unsafe {
        Port::<u8>::new(Pit::COMMAND).write(CHANNEL_0_ONCE);
        Port::<u8>::new(Pit::CHANNEL_0).write(1);
        Port::<u8>::new(Pit::CHANNEL_0).write(0);
    }
}

impl Pit {
    const CHANNEL_0: u16 = 0x40;
    const CHANNEL_2: u16 = 0x42;
    const COMMAND: u16 = 0x43;
    const SPEAKER: u16 = 0x61;

    /// Starts the channel, which counts down from 65536 repeatedly.
    pub fn start() -> Self {
        // SAFETY: these are the PIT's ports on every PC, and no other driver uses them (invariant 16). The gate is on and
        // the speaker off.
        unsafe {
            let mut speaker = Port::<u8>::new(Self::SPEAKER);
            let value = speaker.read();
            speaker.write(value & !0b10 | 0b01);
            Port::<u8>::new(Self::COMMAND).write(0b1011_0100);
            Port::<u8>::new(Self::CHANNEL_2).write(0);
            Port::<u8>::new(Self::CHANNEL_2).write(0);
        }
        Self
    }
}

impl Reference for Pit {
    fn source(&self) -> Source {
        Source::Pit
    }
    fn hz(&self) -> u64 {
        1_193_182
    }
    fn mask(&self) -> u64 {
        0xffff
    }
    fn read(&mut self) -> u64 {
        // SAFETY: as in `start`. The latch command freezes the count for two reads.
        let down = unsafe {
            Port::<u8>::new(Self::COMMAND).write(0b1000_0000);
            let low = Port::<u8>::new(Self::CHANNEL_2).read();
            u16::from_le_bytes([low, Port::<u8>::new(Self::CHANNEL_2).read()])
        };
        u64::from(down.wrapping_neg())
    }
}

/// The TSC, as a reference where no other counter counts.
pub struct Tsc {
    /// The announced rate.
    pub hz: u64,
    /// The source of the rate.
    pub source: Source,
}

impl Reference for Tsc {
    fn source(&self) -> Source {
        self.source
    }
    fn hz(&self) -> u64 {
        self.hz
    }
    fn mask(&self) -> u64 {
        u64::MAX
    }
    fn read(&mut self) -> u64 {
        tsc::ticks()
    }
}
