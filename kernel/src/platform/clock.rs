//! Choice of the clock's rates.

use firmware::topology::Topology;
use params::registry::FAULT_TSC_HZ;
use timebase::source::{Choice, Source, choose};

use crate::arch::calibrate::reference::{Hpet, Pit, PmTimer, Reference, Tsc};
use crate::arch::calibrate::{self, Rates};
use crate::arch::{apic, cpu, tsc};
use crate::console::warning;

/// Finds and sets the rates of the TSC and of the local APIC timer. Sources are CPUID, the hypervisor, and a measurement
/// against the first reference that counts: ACPI PM timer, HPET, PIT. `map_device` maps the HPET's registers.
pub fn start(topology: &Topology, map_device: impl FnOnce(u64) -> Option<u64>) {
    // A TSC deadline timer is set in ticks of the TSC and needs no rate.
    let has_apic_timer = !cpu::features().tsc_deadline;
    let mut announced = calibrate::announced();
    if let Some(hz) = FAULT_TSC_HZ.get() {
        announced.tsc.announced[0] = Some((Source::Cpuid15, hz));
    }
    let (measured, mut rates) = measure(topology, has_apic_timer, map_device).unzip();
    announced.tsc.measured = measured.zip(rates.and_then(|rates: Rates| rates.tsc_hz));

    let choice = choose(&announced.tsc, tsc::ASSUMED_HZ);
    tsc::set_rate(choice.hz, choice.source);
    let source = tsc::clock_source();
    let apic_timer_hz = if has_apic_timer {
        // The TSC, once its rate is known, is a reference for the timer.
        if rates.is_none() && choice.source != Source::Guess {
            rates = Some(calibrate::measure(&mut Tsc { hz: choice.hz, source: choice.source }, true));
        }
        rates.and_then(|rates| rates.apic_timer_hz).or(announced.apic_timer_hz)
    } else {
        None
    };
    if let Some(hz) = apic_timer_hz {
        tsc::set_apic_timer_hz(hz);
        log::info!("tsc {} ({source}), local apic timer {}, {}", Mhz(choice.hz), Mhz(hz), apic::timer_kind());
    } else {
        log::info!("tsc {} ({source}), local apic timer {}", Mhz(choice.hz), apic::timer_kind());
    }
    if !tsc::is_invariant() {
        log::debug!("tsc: not said to be invariant; right while nothing changes the cpus' frequency");
    }
    if let Choice { contradicted: Some((source, hz)), .. } = choice {
        let (winner, loser) = (choice.source.word(), source.word());
        warning(format_args!(
            "the tsc's rate is {} by {winner} and {} by {loser}; going by {winner}",
            Mhz(choice.hz),
            Mhz(hz)
        ));
    }
    match choice.source {
        Source::Guess => warning(format_args!("no timer of known rate counts; times are guesses")),
        Source::Cpuid16 => {
            warning(format_args!("no timer of known rate counts; times are right to a few percent"));
        }
        _ => {}
    }

    // No second warning where the clock is a guess: the same timers are missing.
    if has_apic_timer && apic_timer_hz.is_none() && choice.source != Source::Guess {
        warning(format_args!("the local apic's timer does not count; sleep and slices are guesses"));
    }
}

/// Measures the rates against the first reference that counts evenly.
fn measure(
    topology: &Topology,
    has_apic_timer: bool,
    map_device: impl FnOnce(u64) -> Option<u64>,
) -> Option<(Source, Rates)> {
    let measure = |reference: &mut dyn Reference| {
        let rates = calibrate::measure(reference, has_apic_timer);
        if rates.tsc_hz.is_none() {
            log::debug!("the {} does not count", reference.source().word());
        }
        rates.tsc_hz.map(|_| (reference.source(), rates))
    };
    let pm_timer = topology.pm_timer.map(|(port, is_32_bit)| PmTimer { port, is_32_bit });
    pm_timer
        .and_then(|mut timer| measure(&mut timer))
        .or_else(|| {
            let registers = map_device(topology.hpet?)?;
            // SAFETY: the HPET's table names these registers, and `map_device` mapped them uncached.
            let mut hpet = unsafe { Hpet::new(registers) }?;
            measure(&mut hpet)
        })
        .or_else(|| measure(&mut Pit::start()))
}

/// A rate, printed in MHz.
struct Mhz(u64);

impl core::fmt::Display for Mhz {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:03} MHz", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}
