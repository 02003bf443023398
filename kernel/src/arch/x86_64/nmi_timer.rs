//! A timer that nothing keeps out: a comparator of the HPET whose line an I/O
//! APIC brings to a CPU as NMI.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

const CAPABILITIES: u64 = 0x00;
const PERIOD_FS: u64 = 0x04;
const CONFIGURATION: u64 = 0x10;
const COUNTER: u64 = 0xf0;
const COMPARATORS: u64 = 0x100;
const COMPARATOR_BYTES: u64 = 0x20;
/// Of a comparator: its configuration, the pins that it can have, the value that it waits for.
const COMPARATOR_CONFIGURATION: u64 = 0x00;
const COMPARATOR_PINS: u64 = 0x04;
const COMPARATOR_VALUE: u64 = 0x08;

/// In [`CAPABILITIES`]: the counter has 64 bits.
const HAS_64_BITS: u32 = 1 << 13;
/// In [`CONFIGURATION`]: the counter runs; comparators 0 and 1 stand in for the PIT and the clock.
const RUNS: u32 = 1 << 0;
const LEGACY: u32 = 1 << 1;
/// In [`COMPARATOR_CONFIGURATION`].
const IS_LEVEL: u32 = 1 << 1;
const INTERRUPTS: u32 = 1 << 2;
const IS_PERIODIC: u32 = 1 << 3;
const COMPARES_64_BITS: u32 = 1 << 5;
const COMPARES_32_OF_64: u32 = 1 << 8;
const PIN_SHIFT: u32 = 9;
const PIN_MASK: u32 = 0x1f << PIN_SHIFT;
const BY_MESSAGE: u32 = 1 << 14;

/// The specification's most.
const MOST_PERIOD_FS: u32 = 100_000_000;
/// A high half that never comes.
const NEVER_HIGH: u32 = i32::MAX as u32;

/// The last comparator of an HPET.
#[derive(Debug)]
pub struct NmiTimer {
    base: u64,
    comparator: u64,
    period_fs: u64,
    /// Counter value at which it interrupts.
    due: AtomicU64,
}

impl NmiTimer {
    /// The timer of the HPET whose registers are mapped at `base`; `None` when that
    /// has none of 64 bits.
    ///
    /// # Safety
    /// 1. `base` maps an HPET's register block, uncached, for ever.
    /// 2. Nobody else uses its last comparator, and nobody relies on what it does in place of older timers.
    pub unsafe fn new(base: u64) -> Option<Self> {
        let mut timer = Self { base, comparator: 0, period_fs: 0, due: AtomicU64::new(u64::MAX) };
        let capabilities = timer.read(CAPABILITIES);
        let period_fs = timer.read(PERIOD_FS);
        timer.comparator = COMPARATORS + u64::from(capabilities >> 8 & 0x1f) * COMPARATOR_BYTES;
        timer.period_fs = period_fs.into();
        let is_wide = capabilities & HAS_64_BITS != 0
            && timer.read(timer.comparator + COMPARATOR_CONFIGURATION) & COMPARES_64_BITS != 0;
        (is_wide && (1..=MOST_PERIOD_FS).contains(&period_fs)).then_some(timer)
    }

    /// I/O APIC pins that it can have, a bit for each.
    pub fn pins(&self) -> u32 {
        self.read(self.comparator + COMPARATOR_PINS)
    }

    /// Has it interrupt by `pin`, once for each [`start`](Self::start).
    pub fn connect(&self, pin: u8) {
        self.set_value(u64::MAX >> 1);
        let configuration = self.read(self.comparator + COMPARATOR_CONFIGURATION);
        let off = IS_LEVEL | IS_PERIODIC | COMPARES_32_OF_64 | BY_MESSAGE | PIN_MASK;
        let on = INTERRUPTS | u32::from(pin) << PIN_SHIFT;
        self.write(self.comparator + COMPARATOR_CONFIGURATION, configuration & !off | on);
        self.write(CONFIGURATION, self.read(CONFIGURATION) & !LEGACY | RUNS);
    }

    /// Has it interrupt no more.
    pub fn disconnect(&self) {
        let configuration = self.read(self.comparator + COMPARATOR_CONFIGURATION);
        self.write(self.comparator + COMPARATOR_CONFIGURATION, configuration & !INTERRUPTS);
    }

    /// Has it interrupt in `ns` nanoseconds.
    pub fn start(&self, ns: u64) {
        let ticks = u128::from(ns) * 1_000_000 / u128::from(self.period_fs);
        let due = self.counter().saturating_add(ticks as u64);
        self.due.store(due, SeqCst);
        self.set_value(due);
    }

    /// Whether the time has come for which it was started.
    pub fn is_due(&self) -> bool {
        self.counter() >= self.due.load(SeqCst)
    }

    fn set_value(&self, value: u64) {
        let register = self.comparator + COMPARATOR_VALUE;
        // In halves, which is what all HPETs take: what the register holds in between must not come.
        self.write(register + 4, NEVER_HIGH);
        self.write(register, value as u32);
        self.write(register + 4, (value >> 32) as u32);
    }

    fn counter(&self) -> u64 {
        loop {
            let high = self.read(COUNTER + 4);
            let low = self.read(COUNTER);
            if self.read(COUNTER + 4) == high {
                return u64::from(high) << 32 | u64::from(low);
            }
        }
    }

    fn read(&self, register: u64) -> u32 {
        // SAFETY: `new` was promised the mapping; every register is made of aligned words.
        unsafe { ((self.base + register) as *const u32).read_volatile() }
    }

    fn write(&self, register: u64, value: u32) {
        // SAFETY: as for `read`, and the comparator is ours; the two bits of the configuration that are changed are
        // those of 2 of `new`.
        unsafe { ((self.base + register) as *mut u32).write_volatile(value) };
    }
}
