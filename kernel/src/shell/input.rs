//! What is typed: the first serial port's other direction.
//!
//! The port interrupts the boot CPU through an I/O APIC, and the reader sleeps until then. Whether the way that the
//! firmware tells leads there is tried out before anybody relies on it; where it does not, the reader
//! wakes up a hundred times a second to look.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::arch::ioapic::{IoApic, Redirection};
use crate::arch::percpu::{self, CpuId};
use crate::arch::trap::VECTOR_SERIAL;
use crate::arch::tsc;
use crate::console::{serial, warning};
use crate::mm::{kept, space};
use crate::platform;
use crate::sched::{self, wait::WaitQueue};

/// How often a port is looked at that does not interrupt: in a hundredth of a second a person types nothing, but a
/// fast line fills the port's FIFO; what is lost is told.
const POLL_NS: u64 = 10_000_000;
/// How long an interrupt may take that the port was asked for.
const TRIAL_NS: u64 = 100_000_000;

static ARRIVED: WaitQueue = WaitQueue::new();
/// Interrupts of the port so far.
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static IS_INTERRUPTING: AtomicBool = AtomicBool::new(false);

/// Begins to keep what is typed; false when there is no port. Once, by the thread that will [`read`].
pub fn start() -> bool {
    if !serial::start_input() {
        return false;
    }
    match redirect() {
        Ok(()) => {
            IS_INTERRUPTING.store(true, SeqCst);
            serial::interrupt_for_input();
        }
        Err(why) => {
            let per_second = 1_000_000_000 / POLL_NS;
            warning(format_args!(
                "serial port: {why}; looking for input {per_second} times a second instead"
            ));
        }
    }
    true
}

/// Has the port interrupt the boot CPU, and sees it happen.
fn redirect() -> Result<(), &'static str> {
    let route = platform::serial_route().ok_or("no way for its interrupt is known")?;
    let boot_cpu = CpuId::new(0).map(|cpu| percpu::get(cpu).apic_id());
    let apic_id = boot_cpu.and_then(|id| u8::try_from(id).ok());
    let apic_id = apic_id.ok_or("the boot cpu's apic id is more than an i/o apic can address")?;
    let base = space::map_device(route.io_apic.into(), &mut kept::alloc_table);
    let base = base.ok_or("no memory to map the i/o apic")?;
    // SAFETY:
    // 1. `firmware::isa_irq` gives only 16-aligned addresses within one page, and none in memory; the page was just
    //    mapped as a device's, which stays for ever.
    // 2. This function alone uses an I/O APIC, and runs once (invariant 16).
    let mut io_apic = unsafe { IoApic::new(base) }.ok_or("there is no i/o apic where the firmware says")?;
    let (is_active_low, is_level) = (route.is_active_low, route.is_level);
    let to = Redirection { vector: VECTOR_SERIAL, apic_id, is_active_low, is_level };
    if !io_apic.redirect(route.pin, to) {
        return Err("the i/o apic has no such pin as the firmware says");
    }
    let before = INTERRUPTS.load(SeqCst);
    serial::ask_for_interrupt();
    let has_come = || INTERRUPTS.load(SeqCst) != before;
    if ARRIVED.wait_until_deadline(has_come, tsc::now_ns() + TRIAL_NS) {
        return Ok(());
    }
    serial::interrupt_for_nothing();
    io_apic.mask(route.pin);
    Err("its interrupt does not come where the firmware says")
}

/// The port's interrupt.
pub fn interrupt() {
    serial::interrupt();
    INTERRUPTS.fetch_add(1, SeqCst);
    ARRIVED.wake_all();
}

/// Reads what was typed into `buffer`; sleeps until there is something.
pub fn read(buffer: &mut [u8]) -> usize {
    loop {
        let is_interrupting = IS_INTERRUPTING.load(SeqCst);
        let taken = serial::take_input(buffer, is_interrupting);
        if taken > 0 {
            return taken;
        }
        match is_interrupting {
            true => ARRIVED.wait_until(serial::has_input),
            false => sched::sleep_ns(POLL_NS),
        }
    }
}
