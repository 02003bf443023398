//! Counters of known rate, by which others are measured: the ACPI PM timer, the HPET, the PIT, and the TSC itself once its
//! rate is known.

use timebase::source::Source;
use x86_64::instructions::port::Port;

use super::super::tsc;

/// A free-running counter of known rate.
pub trait Reference {
    /// What a rate measured against it is said to come from.
    fn source(&self) -> Source;
    /// Counts per second.
    fn hz(&self) -> u64;
    /// The count's highest value; it wraps to 0 after that.
    fn mask(&self) -> u64;
    /// The count now.
    fn read(&mut self) -> u64;
}

/// The ACPI power management timer.
pub struct PmTimer {
    /// Its I/O port, from the FADT.
    pub port: u16,
    /// Whether it counts 32 bits, not 24.
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
        // SAFETY: the FADT names the port as the PM timer, which is read-only.
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

    /// Takes the HPET mapped at virtual address `base` into use; `None` when
    /// its period is nonsense.
    ///
    /// # Safety
    /// `base` maps an HPET register block, uncached.
    pub unsafe fn new(base: u64) -> Option<Self> {
        // SAFETY: by the caller's promise these are HPET registers; setting bit 0 lets the counter run.
        unsafe {
            let period_fs = ((base + Self::CAPABILITIES) as *const u64).read_volatile() >> 32;
            // The specification's most is 100 ns. No counter counts every 0.1 ns. Nothing is written to what is no HPET.
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
        // SAFETY: `new` was promised the mapping; the low half is always there.
        u64::from(unsafe { ((self.base + Self::MAIN_COUNTER) as *const u32).read_volatile() })
    }
}

/// Channel 2 of the programmable interval timer, which drives no interrupt.
pub struct Pit;

impl Pit {
    const CHANNEL_2: u16 = 0x42;
    const COMMAND: u16 = 0x43;
    const SPEAKER: u16 = 0x61;

    /// Starts the channel, counting down from 65536 over and over.
    pub fn start() -> Self {
        // SAFETY: the PIT's ports on every PC, driven by nothing else (invariant 16). Gate on, speaker off.
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
        // SAFETY: as in `start`; the latch command freezes the count for two reads.
        let down = unsafe {
            Port::<u8>::new(Self::COMMAND).write(0b1000_0000);
            let low = Port::<u8>::new(Self::CHANNEL_2).read();
            u16::from_le_bytes([low, Port::<u8>::new(Self::CHANNEL_2).read()])
        };
        u64::from(down.wrapping_neg())
    }
}

/// The TSC, for what is measured where nothing else counts.
pub struct Tsc {
    /// Its rate, as told.
    pub hz: u64,
    /// Where that comes from.
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
