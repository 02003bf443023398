//! The fixed hardware of ACPI, from the FADT and the tables that it leads to: power-off, buttons and other events, PM timer.

use crate::acpi::{TableError, check_sdt};
use crate::aml::{self, GpeSet};
use crate::fadt::{self, Fadt, Refused};
use crate::isa_irq::{Interrupts, Route, RouteError};
use crate::memmap::MemoryMap;
use crate::registers::Space;

/// Content of the tables about the fixed hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHardware {
    /// Content of the FADT: registers and flags.
    pub fadt: Fadt,
    /// Sleep types of `\_S5` for PM1a and PM1b.
    pub sleep_types: Option<(u8, u8)>,
    /// General-purpose events that the firmware has a method for.
    pub gpes: GpeSet,
    /// Route of the system control interrupt (SCI).
    pub sci: Option<Route>,
}

/// Missing and invalid parts of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Fields of the FADT that are not used.
    pub refused: Refused,
    /// The SCI's number, and the reason that it has no route.
    pub sci: Option<(u16, RouteError)>,
}

impl FixedHardware {
    /// Reads the FADT, the first sound DSDT that it names, by way of `table_at`, and `ssdts`. `interrupts` has the route of
    /// the SCI.
    ///
    /// # Errors
    /// When the FADT is damaged.
    pub fn read<'a, S: Iterator<Item = &'a [u8]>>(
        fadt: &[u8],
        interrupts: &Interrupts,
        map: &MemoryMap,
        table_at: impl Fn(u64) -> Option<&'a [u8]>,
        ssdts: impl Fn() -> S,
    ) -> Result<(Self, Gaps), TableError> {
        let (fadt, refused) = fadt::parse(fadt, map)?;
        // The two addresses may lead to tables of different versions: one table is read, never both.
        let mut dsdts = fadt.dsdt.iter().flatten().filter_map(|address| table_at(*address));
        let dsdt = dsdts.find(|bytes| check_sdt(bytes, Some(*b"DSDT")).is_ok());
        let blocks = || dsdt.into_iter().chain(ssdts());
        let mut gaps = Gaps { refused, sci: None };
        let sci = fadt.sci.and_then(|sci| {
            let route = interrupts.route_sci(sci);
            route.inspect_err(|error| gaps.sci = Some((sci, *error))).ok()
        });
        let sleep_types = aml::sleep_types(blocks());
        Ok((Self { fadt, sleep_types, gpes: aml::gpe_methods(blocks()), sci }, gaps))
    }

    /// Returns the PM timer's port, and whether the timer counts 32 bits instead of 24.
    ///
    /// # Errors
    /// The timer's address, if it is not an I/O port's.
    pub fn pm_timer(&self) -> Option<Result<(u16, bool), u64>> {
        let timer = self.fadt.pm_timer?;
        let address = timer.register.address;
        let is_port = timer.register.space == Space::Port;
        Some(if is_port { Ok((address as u16, timer.is_32_bit)) } else { Err(address) })
    }
}
