//! Measures the rates of the TSC and of the local APIC's timer against a reference.

use timebase::windows::{MOST_WINDOWS, Measured, Window, judge};

use super::super::apic::{self, LocalApic};
use super::super::tsc;
use super::reference::Reference;

/// How long a window is. Three are needed where nothing goes wrong.
const WINDOW_NS: u64 = 1_000_000;
/// Windows in which the reference may stand still: a machine that is stopped looks like that.
const MOST_STILL_WINDOWS: usize = 2;
/// Times that a reference is read in a window at most: a second on a slow bus. For a TSC that stands still, too.
const MOST_POLLS: u64 = 1 << 20;

/// The counters at one moment.
#[derive(Clone, Copy)]
struct Reading {
    tsc: u64,
    /// How long the reading took.
    gap: u64,
    apic_ticks: u32,
    count: u64,
}

impl Reading {
    /// Reads all counters, taking the narrowest gap of a few tries: a vCPU may
    /// lose its core in between.
    fn take(reference: &mut dyn Reference, apic: Option<LocalApic>) -> Self {
        let attempts = (0..8).map(|_| Self::take_once(reference, apic));
        attempts.min_by_key(|reading| reading.gap).expect("eight tries are not none")
    }

    /// One code for all readings: emulators are slow when they see code for the
    /// first time.
    #[inline(never)]
    fn take_once(reference: &mut dyn Reference, apic: Option<LocalApic>) -> Self {
        let before = tsc::ticks();
        let count = reference.read();
        let apic_ticks = apic.map_or(0, LocalApic::measured_timer_ticks);
        // A counter that goes back makes a gap that is wider than any other.
        let gap = tsc::ticks().wrapping_sub(before);
        Self { tsc: before.wrapping_add(gap / 2), gap, apic_ticks, count }
    }
}

/// What [`measure`] found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// TSC ticks per second; `None` when the reference does not count, or not evenly.
    pub tsc_hz: Option<u64>,
    /// Local APIC timer ticks per second; `None` also when that does not count, or was not to be measured.
    pub apic_timer_hz: Option<u64>,
}

/// Measures the TSC and, if it `has_apic_timer`, this CPU's APIC timer against `reference`: 4 ms where nothing goes wrong.
pub fn measure(reference: &mut dyn Reference, has_apic_timer: bool) -> Rates {
    let apic = has_apic_timer.then(apic::local);
    let rates = measure_with(reference, apic);
    if let Some(apic) = apic {
        apic.stop_timer_for_measurement();
    }
    rates
}

fn measure_with(reference: &mut dyn Reference, apic: Option<LocalApic>) -> Rates {
    let mut tsc_windows = Windows::new();
    let mut apic_windows = Windows::new();
    let mut still = 0;
    let mut start: Option<Reading> = None;
    for _ in 0..MOST_WINDOWS {
        let start_of_this = start.filter(|reading| reading.apic_ticks < u32::MAX / 2);
        let from = start_of_this.unwrap_or_else(|| {
            apic.inspect(|apic| apic.start_timer_for_measurement());
            Reading::take(reference, apic)
        });
        let has_counted = wait(reference, &from);
        let to = Reading::take(reference, apic);
        start = Some(to);
        if !has_counted {
            still += 1;
            if still == MOST_STILL_WINDOWS {
                break;
            }
            continue;
        }
        let counts = to.count.wrapping_sub(from.count) & reference.mask();
        let ticks = to.tsc.wrapping_sub(from.tsc);
        let blur = (from.gap / 2).saturating_add(to.gap / 2).saturating_add(1);
        tsc_windows.push(Window { ticks, counts, blur });
        let apic_ticks = u64::from(to.apic_ticks.saturating_sub(from.apic_ticks));
        let apic_blur = u128::from(blur) * u128::from(apic_ticks) / u128::from(ticks.max(1));
        let apic_blur = u64::try_from(apic_blur).unwrap_or(u64::MAX).saturating_add(1);
        apic_windows.push(Window { ticks: apic_ticks, counts, blur: apic_blur });
        let tsc_is_sharp = tsc_windows.judge(reference).is_some_and(|found| found.is_sharp);
        if tsc_is_sharp && (apic.is_none() || apic_windows.judge(reference).is_some()) {
            break;
        }
    }
    let hz = |windows: &Windows| windows.judge(reference).map(|found| found.hz);
    let tsc_hz = hz(&tsc_windows);
    Rates { tsc_hz, apic_timer_hz: tsc_hz.and(apic).and_then(|_| hz(&apic_windows)) }
}

/// Waits for the length of a window; false if `reference` does not get there in the time of four of the fastest TSC.
fn wait(reference: &mut dyn Reference, from: &Reading) -> bool {
    let window_counts = reference.hz() * WINDOW_NS / 1_000_000_000;
    let patience = tsc::ASSUMED_HZ / 1_000_000_000 * WINDOW_NS * 4;
    for _ in 0..MOST_POLLS {
        if reference.read().wrapping_sub(from.count) & reference.mask() >= window_counts {
            return true;
        }
        if tsc::ticks().wrapping_sub(from.tsc) > patience {
            // The CPU may have been lost just before it looked at the TSC.
            return reference.read().wrapping_sub(from.count) & reference.mask() >= window_counts;
        }
    }
    false
}

/// The windows so far.
struct Windows {
    windows: [Window; MOST_WINDOWS],
    count: usize,
}

impl Windows {
    fn new() -> Self {
        Self { windows: [Window { ticks: 0, counts: 0, blur: 0 }; MOST_WINDOWS], count: 0 }
    }

    fn push(&mut self, window: Window) {
        self.windows[self.count] = window;
        self.count += 1;
    }

    fn judge(&self, reference: &dyn Reference) -> Option<Measured> {
        judge(&self.windows[..self.count], reference.hz())
    }
}
