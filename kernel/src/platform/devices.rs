//! Locations of devices whose drivers start long after the tables were read.

use firmware::isa_irq::Route;
use firmware::topology::Topology;
use spin::Once;

/// Route of the first serial port's interrupt.
static SERIAL_ROUTE: Once<Route> = Once::new();

/// Physical address of the HPET's registers.
static HPET: Once<u64> = Once::new();

/// Keeps the locations that `topology` has. Called once.
pub fn install(topology: &Topology) {
    if let Some(route) = topology.serial {
        SERIAL_ROUTE.call_once(|| route);
    }
    if let Some(registers) = topology.hpet {
        HPET.call_once(|| registers);
    }
}

/// Returns the route of the first serial port's interrupt, if the firmware names one.
pub fn serial_route() -> Option<Route> {
    SERIAL_ROUTE.get().copied()
}

/// Returns the physical address of the HPET's registers, if there is one.
pub fn hpet() -> Option<u64> {
    HPET.get().copied()
}
