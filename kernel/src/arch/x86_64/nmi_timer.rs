//! A timer that code cannot mask: a comparator of the HPET, whose line an I/O APIC routes to a CPU as an NMI.

use lockup::{NmiOwner, Origin};

const CAPABILITIES: u64 = 0x00;
const PERIOD_FS: u64 = 0x04;
const CONFIGURATION: u64 = 0x10;
const COUNTER: u64 = 0xf0;
const COMPARATORS: u64 = 0x100;
const COMPARATOR_BYTES: u64 = 0x20;
/// Registers of a comparator: configuration, the pins that it can use, the value at which it interrupts.
const COMPARATOR_CONFIGURATION: u64 = 0x00;
const COMPARATOR_PINS: u64 = 0x04;
const COMPARATOR_VALUE: u64 = 0x08;

/// Bit of [`CAPABILITIES`]: the counter has 64 bits.
const HAS_64_BITS: u32 = 1 << 13;
/// Bits of [`CONFIGURATION`]: the counter runs; comparators 0 and 1 replace the PIT and the real-time clock.
const RUNS: u32 = 1 << 0;
const LEGACY: u32 = 1 << 1;
/// Bits of [`COMPARATOR_CONFIGURATION`].
const IS_LEVEL: u32 = 1 << 1;
const INTERRUPTS: u32 = 1 << 2;
const IS_PERIODIC: u32 = 1 << 3;
const COMPARES_64_BITS: u32 = 1 << 5;
const COMPARES_32_OF_64: u32 = 1 << 8;
const PIN_SHIFT: u32 = 9;
const PIN_MASK: u32 = 0x1f << PIN_SHIFT;
const BY_MESSAGE: u32 = 1 << 14;

/// Longest period that the specification allows.
const MAX_PERIOD_FS: u32 = 100_000_000;
/// Longest time to which a comparator is set. Some HPETs compute in nanoseconds, and overflow for longer times.
const MAX_AHEAD_NS: u64 = 60_000_000_000;
/// Time after a change in which an interrupt from before the change may still arrive.
const GRACE_NS: u64 = 1_000_000;
/// Most attempts to set a time that passes before the comparator is set.
const MAX_ATTEMPTS: u32 = 10;

/// The last comparator of an HPET.
#[derive(Debug)]
pub struct NmiTimer {
    base: u64,
    comparator: u64,
    period_fs: u64,
    owner: NmiOwner,
}

impl NmiTimer {
    /// Returns the timer of the HPET whose registers are mapped at `base`; `None` if the HPET has no comparator of 64 bits.
    ///
    /// # Safety
    /// 1. `base` maps an HPET's register block, uncached, for good.
    /// 2. No other code uses the last comparator or relies on the replacement of older timers (invariant 16).
    pub unsafe fn new(base: u64) -> Option<Self> {
        let mut timer = Self { base, comparator: 0, period_fs: 1, owner: NmiOwner::new(0) };
        let capabilities = timer.read(CAPABILITIES);
        let period_fs = timer.read(PERIOD_FS);
        timer.comparator = COMPARATORS + u64::from(capabilities >> 8 & 0x1f) * COMPARATOR_BYTES;
        let is_wide = capabilities & HAS_64_BITS != 0
            && timer.read(timer.comparator + COMPARATOR_CONFIGURATION) & COMPARES_64_BITS != 0;
        if !is_wide || !(1..=MAX_PERIOD_FS).contains(&period_fs) {
            return None;
        }
        timer.period_fs = period_fs.into();
        timer.owner = NmiOwner::new(timer.ticks(GRACE_NS));
        Some(timer)
    }

    /// Returns the I/O APIC pins that the timer can use, with a bit for each.
    pub fn pins(&self) -> u32 {
        self.read(self.comparator + COMPARATOR_PINS)
    }

    /// Connects the timer to `pin`. It interrupts once for each [`start`](Self::start), and not before.
    pub fn connect(&self, pin: u8) {
        self.owner.begin_setting();
        let configuration = self.read(self.comparator + COMPARATOR_CONFIGURATION);
        let off = INTERRUPTS | IS_LEVEL | IS_PERIODIC | COMPARES_32_OF_64 | BY_MESSAGE | PIN_MASK;
        let on = u32::from(pin) << PIN_SHIFT;
        self.write(self.comparator + COMPARATOR_CONFIGURATION, configuration & !off | on);
        self.write(CONFIGURATION, self.read(CONFIGURATION) & !LEGACY | RUNS);
        self.owner.disarm(self.counter());
    }

    /// Stops the timer.
    pub fn disconnect(&self) {
        self.owner.begin_setting();
        self.enable_interrupt(false);
        self.owner.disarm(self.counter());
    }

    /// Sets the timer to interrupt in `ns` nanoseconds, at most in [`MAX_AHEAD_NS`].
    ///
    /// The comparator's interrupt is off while its halves are written: the counter may reach the mixed value. Some HPETs
    /// interrupt only when counter and comparator are equal. They would never interrupt for a time that passed meanwhile,
    /// so such a time is set again.
    pub fn start(&self, ns: u64) {
        let ahead = self.ticks(ns.min(MAX_AHEAD_NS)).max(1);
        for doubled in 0..MAX_ATTEMPTS {
            self.owner.begin_setting();
            self.enable_interrupt(false);
            let now = self.counter();
            let due = now.saturating_add(ahead << doubled);
            // In halves, which all HPETs support.
            self.write(self.comparator + COMPARATOR_VALUE, due as u32);
            self.write(self.comparator + COMPARATOR_VALUE + 4, (due >> 32) as u32);
            self.owner.arm(now, due);
            self.enable_interrupt(true);
            // The latest due time: an interrupt may have arrived and started the timer again.
            if self.counter() < self.owner.due() {
                return;
            }
        }
    }

    /// Returns the origin of an NMI that the CPU takes now.
    pub fn origin(&self) -> Origin {
        self.owner.origin(self.counter())
    }

    fn ticks(&self, ns: u64) -> u64 {
        (u128::from(ns) * 1_000_000 / u128::from(self.period_fs)) as u64
    }

    fn enable_interrupt(&self, enable: bool) {
        let register = self.comparator + COMPARATOR_CONFIGURATION;
        let others = self.read(register) & !INTERRUPTS;
        self.write(register, if enable { others | INTERRUPTS } else { others });
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
        // SAFETY: the caller of `new` promised the mapping (1). Every register consists of aligned words.
        unsafe { ((self.base + register) as *const u32).read_volatile() }
    }

    fn write(&self, register: u64, value: u32) {
        // SAFETY: as for `read`. Only this timer uses the comparator and the two bits of the configuration that it
        // changes (2 of `new`).
        unsafe { ((self.base + register) as *mut u32).write_volatile(value) };
    }
}
