//! Measures the rates of the TSC and of the local APIC's timer against a reference.

use timebase::windows::{MOST_WINDOWS, Measured, Window, judge};

use super::super::apic::{self, LocalApic};
use super::super::tsc;
use super::reference::Reference;

/// Length of a window. Three windows are enough if no window is disturbed.
const WINDOW_NS: u64 = 1_000_000;
/// Windows without a count of the reference, after which the measurement gives up. A stopped machine causes such windows,
/// too.
const MAX_STILL_WINDOWS: usize = 2;
/// Most reads of the reference in a window: they take a second on a slow bus. Bounds the wait also if the TSC does not
/// count.
const MAX_POLLS: u64 = 1 << 20;

/// The counters at one point in time.
#[derive(Clone, Copy)]
struct Reading {
    tsc: u64,
    /// TSC ticks that the reading took.
    gap: u64,
    apic_ticks: u32,
    count: u64,
}

impl Reading {
    /// Reads all counters a few times and returns the reading with the narrowest gap. A vCPU may lose its core during a
    /// reading.
    fn take(reference: &mut dyn Reference, apic: Option<LocalApic>) -> Self {
        let attempts = (0..8).map(|_| Self::take_once(reference, apic));
        attempts.min_by_key(|reading| reading.gap).expect("there are eight attempts")
    }

    /// Reads all counters once. Not inlined, so that all readings run the same code: emulators are slow at the first
    /// execution of code.
    #[inline(never)]
    fn take_once(reference: &mut dyn Reference, apic: Option<LocalApic>) -> Self {
        let before = tsc::ticks();
        let count = reference.read();
        let apic_ticks = apic.map_or(0, LocalApic::measured_timer_ticks);
        // A TSC that goes back makes a gap wider than any other.
        let gap = tsc::ticks().wrapping_sub(before);
        Self { tsc: before.wrapping_add(gap / 2), gap, apic_ticks, count }
    }
}

/// The result of [`measure`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// TSC ticks per second; `None` if the reference does not count, or not evenly.
    pub tsc_hz: Option<u64>,
    /// Local APIC timer ticks per second; `None` also if the timer does not count or was not measured.
    pub apic_timer_hz: Option<u64>,
}

/// Measures the TSC and, if `has_apic_timer`, this CPU's APIC timer against `reference`. Takes 4 ms if no window is
/// disturbed.
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
            if still == MAX_STILL_WINDOWS {
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

/// Waits for the length of a window. Returns false if `reference` does not get there within four windows of the fastest
/// TSC.
fn wait(reference: &mut dyn Reference, from: &Reading) -> bool {
    let window_counts = reference.hz() * WINDOW_NS / 1_000_000_000;
    let patience = tsc::ASSUMED_HZ / 1_000_000_000 * WINDOW_NS * 4;
    for _ in 0..MAX_POLLS {
        if reference.read().wrapping_sub(from.count) & reference.mask() >= window_counts {
            return true;
        }
        if tsc::ticks().wrapping_sub(from.tsc) > patience {
            // The vCPU may have lost its core between the reads of the reference and of the TSC.
            return reference.read().wrapping_sub(from.count) & reference.mask() >= window_counts;
        }
    }
    false
}

/// The windows of a measurement so far.
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
