//! The owner of all I/O APICs that the firmware names: every access takes one lock (invariant 16).
//!
//! At boot every pin is masked, as firmware or an earlier kernel may have left some open. Drivers then open the pins of
//! their devices, one by one.

use firmware::isa_irq::{Interrupts, MAX_IO_APICS, Route};
use params::registry::FAULT_IOAPIC_OPEN;

use crate::arch::ioapic::{IoApic, Redirection};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// Words of 64 bits in the set of one I/O APIC's pins.
const PIN_WORDS: usize = 4;

/// An I/O APIC that answers.
struct Owned {
    /// Physical address of its registers.
    address: u32,
    /// Global interrupt of its first pin.
    first_gsi: u32,
    chip: IoApic,
    /// Pins that drivers opened, a bit each.
    opened: [u64; PIN_WORDS],
}

static OWNED: IrqSpinLock<[Option<Owned>; MAX_IO_APICS]> =
    IrqSpinLock::of(LockClass::IO_APICS, [const { None }; MAX_IO_APICS]);

/// Takes over the I/O APICs that the firmware names: masks every pin of each. `map_device` maps a page of registers.
/// Called once.
pub fn take_over(interrupts: &Interrupts, mut map_device: impl FnMut(u64) -> Option<u64>) {
    for (index, io_apic) in interrupts.distinct_io_apics().enumerate() {
        let Some(base) = map_device(io_apic.address.into()) else { continue };
        // SAFETY:
        // 1. `firmware::isa_irq` passed only 16-aligned addresses within one page, and none in memory; the page was just
        //    mapped as a device's, which stays for ever.
        // 2. No other code uses an I/O APIC (invariant 16), and `distinct_io_apics` names each address once.
        let Some(mut chip) = (unsafe { IoApic::new(base) }) else { continue };
        let pins = chip.pins();
        if FAULT_IOAPIC_OPEN.get() {
            chip.redirect(pins as u8 - 1, Redirection { vector: 0xf0, apic_id: 0, ..Redirection::EDGE });
        }
        let left_open = (0..pins as u8).filter(|pin| chip.is_open(*pin)).count();
        (0..pins as u8).for_each(|pin| chip.take_over(pin));
        log::debug!("i/o apic at {:#x}: {pins} pins, {left_open} were open", io_apic.address);
        let (address, first_gsi) = (io_apic.address, io_apic.first_gsi);
        OWNED.lock()[index] = Some(Owned { address, first_gsi, chip, opened: [0; PIN_WORDS] });
    }
}

/// Runs `work` with the I/O APIC whose registers are at `address`; returns `None` if there is none.
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

/// Opens the pin of `route`: its interrupt goes to the CPU with this APIC id, on `vector`.
///
/// # Errors
/// When there is no such I/O APIC or pin.
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

/// Opens a pin as an NMI, at a rising edge, to the CPU with this APIC id. The pin is the highest of `allowed`, a bit for
/// each, that the I/O APIC at `io_apic` has. Returns its number.
///
/// # Errors
/// When there is no such I/O APIC or pin.
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

/// Masks a pin of the I/O APIC at `io_apic`.
pub fn mask(io_apic: u32, pin: u8) {
    with(io_apic, |owned| {
        owned.chip.mask(pin);
        owned.note_open(pin, false);
    });
}

/// Reads back every pin of every I/O APIC. Returns the number of pins, and the global interrupt of the first pin that is open
/// although no driver opened it.
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
