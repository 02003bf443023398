//! Which timer of known rate the clock is set by.

use super::Topology;
use crate::arch::tsc::{self, Calibration, Hpet, Pit, PmTimer, Reference};
use crate::console::warning;

/// Finds the rates of the TSC and of the local APIC timer, by the first
/// reference that counts: ACPI PM timer, HPET, PIT. `map_device` maps the HPET's
/// registers.
pub fn start_clock(topology: &Topology, map_device: impl FnOnce(u64) -> Option<u64>) {
    let pm_timer = topology.pm_timer.map(|(port, is_32_bit)| PmTimer { port, is_32_bit });
    let calibration = pm_timer.and_then(|mut timer| calibrate(&mut timer));
    let calibration = calibration.or_else(|| {
        let registers = map_device(topology.hpet?)?;
        // SAFETY: the HPET table names these registers, and `map_device` mapped them uncached.
        let mut hpet = unsafe { Hpet::new(registers) }?;
        calibrate(&mut hpet)
    });
    match calibration.or_else(|| calibrate(&mut Pit::start())) {
        Some(Calibration { tsc_hz, apic_timer_hz, source }) => log::info!(
            "tsc {}.{:03} MHz ({source}), local apic timer {}.{:03} MHz",
            tsc_hz / 1_000_000,
            tsc_hz / 1000 % 1000,
            apic_timer_hz / 1_000_000,
            apic_timer_hz / 1000 % 1000
        ),
        None => warning(format_args!("no timer of known rate counts; times are guesses")),
    }
}

fn calibrate(reference: &mut dyn Reference) -> Option<Calibration> {
    let calibration = tsc::calibrate(reference);
    if calibration.is_none() {
        log::debug!("the {} does not count", reference.name());
    }
    calibration
}
