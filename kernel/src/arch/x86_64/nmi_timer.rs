//! A timer that nothing keeps out: a comparator of the HPET whose line an I/O
//! APIC brings to a CPU as NMI.

use lockup::{NmiOwner, Origin};

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
/// How far ahead a comparator is set at most: some HPETs reckon in nanoseconds, and overflow for what is far away.
const MOST_AHEAD_NS: u64 = 60_000_000_000;
/// How long after a change an interrupt from before it may still come.
const GRACE_NS: u64 = 1_000_000;
/// How often the time to be set may have passed before it was set.
const TRIES: u32 = 10;

/// The last comparator of an HPET.
#[derive(Debug)]
pub struct NmiTimer {
    base: u64,
    comparator: u64,
    period_fs: u64,
    owner: NmiOwner,
}

impl NmiTimer {
    /// The timer of the HPET whose registers are mapped at `base`; `None` when that
    /// has none of 64 bits.
    ///
    /// # Safety
    /// 1. `base` maps an HPET's register block, uncached, for ever.
    /// 2. Nobody else uses its last comparator, and nobody relies on what it does in place of older timers.
    pub unsafe fn new(base: u64) -> Option<Self> {
        let mut timer = Self { base, comparator: 0, period_fs: 1, owner: NmiOwner::new(0) };
        let capabilities = timer.read(CAPABILITIES);
        let period_fs = timer.read(PERIOD_FS);
        timer.comparator = COMPARATORS + u64::from(capabilities >> 8 & 0x1f) * COMPARATOR_BYTES;
        let is_wide = capabilities & HAS_64_BITS != 0
            && timer.read(timer.comparator + COMPARATOR_CONFIGURATION) & COMPARES_64_BITS != 0;
        if !is_wide || !(1..=MOST_PERIOD_FS).contains(&period_fs) {
            return None;
        }
        timer.period_fs = period_fs.into();
        timer.owner = NmiOwner::new(timer.ticks(GRACE_NS));
        Some(timer)
    }

    /// I/O APIC pins that it can have, a bit for each.
    pub fn pins(&self) -> u32 {
        self.read(self.comparator + COMPARATOR_PINS)
    }

    /// Sets it up to interrupt by `pin`, once for each [`start`](Self::start). Until then it does not.
    pub fn connect(&self, pin: u8) {
        self.owner.begin_setting();
        let configuration = self.read(self.comparator + COMPARATOR_CONFIGURATION);
        let off = INTERRUPTS | IS_LEVEL | IS_PERIODIC | COMPARES_32_OF_64 | BY_MESSAGE | PIN_MASK;
        let on = u32::from(pin) << PIN_SHIFT;
        self.write(self.comparator + COMPARATOR_CONFIGURATION, configuration & !off | on);
        self.write(CONFIGURATION, self.read(CONFIGURATION) & !LEGACY | RUNS);
        self.owner.disarm(self.counter());
    }

    /// Has it interrupt no more.
    pub fn disconnect(&self) {
        self.owner.begin_setting();
        self.let_interrupt(false);
        self.owner.disarm(self.counter());
    }

    /// Has it interrupt in `ns` nanoseconds, or in [`MOST_AHEAD_NS`] if that is sooner.
    ///
    /// The comparator does not interrupt while its halves are written: what it holds in between may be anything, and the
    /// counter may be there. Some HPETs interrupt only when they are equal: a time that has passed meanwhile would
    /// never come, and is set anew.
    pub fn start(&self, ns: u64) {
        let ahead = self.ticks(ns.min(MOST_AHEAD_NS)).max(1);
        for doubled in 0..TRIES {
            self.owner.begin_setting();
            self.let_interrupt(false);
            let now = self.counter();
            let due = now.saturating_add(ahead << doubled);
            // In halves, which is what all HPETs take.
            self.write(self.comparator + COMPARATOR_VALUE, due as u32);
            self.write(self.comparator + COMPARATOR_VALUE + 4, (due >> 32) as u32);
            self.owner.arm(now, due);
            self.let_interrupt(true);
            // By what was set last: an interrupt may have come and started it anew.
            if self.counter() < self.owner.due() {
                return;
            }
        }
    }

    /// What an NMI comes from that is taken now.
    pub fn origin(&self) -> Origin {
        self.owner.origin(self.counter())
    }

    fn ticks(&self, ns: u64) -> u64 {
        (u128::from(ns) * 1_000_000 / u128::from(self.period_fs)) as u64
    }

    fn let_interrupt(&self, lets: bool) {
        let register = self.comparator + COMPARATOR_CONFIGURATION;
        let others = self.read(register) & !INTERRUPTS;
        self.write(register, if lets { others | INTERRUPTS } else { others });
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
