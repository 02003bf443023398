//! The one owner of all I/O APICs that the firmware names.
//!
//! At boot every pin is masked, whatever firmware or an earlier kernel left open; then pins are opened one by one, by
//! the drivers of the devices behind them.

use firmware::isa_irq::{Interrupts, MAX_IO_APICS, Route};
use params::registry::FAULT_IOAPIC_OPEN;

use crate::arch::ioapic::{IoApic, Redirection};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// Pins of one I/O APIC, in words of a set.
const PIN_WORDS: usize = 4;

/// An I/O APIC that is there.
struct Owned {
    /// Physical address of its registers.
    address: u32,
    /// Global interrupt of its first pin.
    first_gsi: u32,
    chip: IoApic,
    /// Pins that were opened, a bit each.
    opened: [u64; PIN_WORDS],
}

static OWNED: IrqSpinLock<[Option<Owned>; MAX_IO_APICS]> =
    IrqSpinLock::of(LockClass::IO_APICS, [const { None }; MAX_IO_APICS]);

/// Takes over the I/O APICs that the firmware names: masks every pin of each. `map_device` maps a page of registers.
/// Once.
pub fn take_over(interrupts: &Interrupts, mut map_device: impl FnMut(u64) -> Option<u64>) {
    for (index, told) in interrupts.distinct_io_apics().enumerate() {
        let Some(base) = map_device(told.address.into()) else { continue };
        // SAFETY:
        // 1. `firmware::isa_irq` passed only 16-aligned addresses within one page, and none in memory; the page was just
        //    mapped as a device's, which stays for ever.
        // 2. No other driver uses an I/O APIC (invariant 16); `distinct_io_apics` names each address once.
        let Some(mut chip) = (unsafe { IoApic::new(base) }) else { continue };
        let pins = chip.pins();
        if FAULT_IOAPIC_OPEN.get() {
            chip.redirect(pins as u8 - 1, Redirection { vector: 0xf0, apic_id: 0, ..Redirection::EDGE });
        }
        let left_open = (0..pins as u8).filter(|pin| chip.is_open(*pin)).count();
        (0..pins as u8).for_each(|pin| chip.take_over(pin));
        log::debug!("i/o apic at {:#x}: {pins} pins, {left_open} were open", told.address);
        let (address, first_gsi) = (told.address, told.first_gsi);
        OWNED.lock()[index] = Some(Owned { address, first_gsi, chip, opened: [0; PIN_WORDS] });
    }
}

/// Runs `work` with the I/O APIC whose registers are at `address`; `None` if there is none.
fn with<R>(address: u32, work: impl FnOnce(&mut Owned) -> R) -> Option<R> {
    let mut owned = OWNED.lock();
    owned.iter_mut().flatten().find(|io_apic| io_apic.address == address).map(work)
}

const ABSENT: &str = "there is no i/o apic where the firmware says";
const NO_PIN: &str = "the i/o apic has no such pin as the firmware says";

impl Owned {
    fn note_open(&mut self, pin: u8, is_open: bool) {
        let word = &mut self.opened[usize::from(pin / 64)];
        *word = *word & !(1 << (pin % 64)) | u64::from(is_open) << (pin % 64);
    }
}

/// Has the interrupt that arrives by `route` interrupt the CPU with this APIC id on `vector`.
///
/// # Errors
/// Why it cannot.
pub fn open(route: Route, vector: u8, apic_id: u8) -> Result<(), &'static str> {
    let Route { io_apic, pin, is_active_low, is_level } = route;
    let is_open = with(io_apic, |owned| {
        let is_open = owned.chip.redirect(pin, Redirection { vector, apic_id, is_active_low, is_level });
        if is_open {
            owned.note_open(pin, true);
        }
        is_open
    });
    if is_open.ok_or(ABSENT)? { Ok(()) } else { Err(NO_PIN) }
}

/// Has a pin interrupt the CPU with this APIC id by NMI, at a rising edge. The pin is the highest of `allowed`, a bit for
/// each, that the I/O APIC at `io_apic` has; returns its number.
///
/// # Errors
/// Why there is none.
pub fn open_as_nmi(io_apic: u32, allowed: u32, apic_id: u8) -> Result<u8, &'static str> {
    let opened = with(io_apic, |owned| {
        let pins =
            allowed & u32::MAX.checked_shr(32u32.saturating_sub(owned.chip.pins())).unwrap_or(u32::MAX);
        let pin = pins.checked_ilog2()? as u8;
        owned.chip.redirect_as_nmi(pin, apic_id);
        owned.note_open(pin, true);
        Some(pin)
    });
    opened.ok_or(ABSENT)?.ok_or("the device and the i/o apic have no pin in common")
}

/// Has a pin of the I/O APIC at `io_apic` interrupt no more.
pub fn mask(io_apic: u32, pin: u8) {
    with(io_apic, |owned| {
        owned.chip.mask(pin);
        owned.note_open(pin, false);
    });
}

/// Reads back every pin of every I/O APIC: how many there are, and the first that is open though no driver opened it, as
/// a global interrupt's number.
pub fn check() -> (usize, Option<u32>) {
    let mut owned = OWNED.lock();
    let (mut count, mut stray) = (0, None);
    for io_apic in owned.iter_mut().flatten() {
        for pin in 0..io_apic.chip.pins() as u8 {
            let is_ours = io_apic.opened[usize::from(pin / 64)] & 1 << (pin % 64) != 0;
            if io_apic.chip.is_open(pin) && !is_ours {
                stray = stray.or(Some(io_apic.first_gsi + u32::from(pin)));
            }
            count += 1;
        }
    }
    (count, stray)
}
