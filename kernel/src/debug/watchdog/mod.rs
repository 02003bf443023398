//! The watchdog: finds CPUs that take no interrupt (hard lockup), and CPUs on which threads wait and no slice ends
//! (soft lockup). It stops the machine and reports where the CPU was.
//!
//! `lockup::LockupDetector` decides, from samples. On a machine of several CPUs, threads take them by an interrupt
//! from a peer ([`ipi_probe`]). On a machine of one CPU, an NMI of the HPET takes them ([`nmi_probe`]). Both end in one
//! report ([`report`]).

mod ipi_probe;
pub(super) mod nmi_probe;
pub(super) mod nmi_timer;
mod report;

use params::registry::WATCHDOG_TIMEOUT_MS;

use crate::sched;

/// Starts to watch all CPUs, unless `watchdog.timeout_ms` is 0.
pub fn start() {
    let timeout_ns = WATCHDOG_TIMEOUT_MS.get() * 1_000_000;
    if timeout_ns == 0 {
        return;
    }
    if sched::online_cpus().count() > 1 {
        ipi_probe::start(timeout_ns);
    } else if let Err(why) = nmi_probe::start(timeout_ns) {
        log::info!("watchdog: {why}: only the host will notice if the one cpu locks up");
    }
}

/// Stops watching, before the machine powers off: its CPUs stop one by one, and no report may follow the run's end.
pub fn stop() {
    ipi_probe::stop();
    nmi_timer::stop();
}
