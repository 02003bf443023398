//! Input from the first serial port.
//!
//! The port interrupts the boot CPU through an I/O APIC, and the reader sleeps until then. A trial shows whether the
//! route that the firmware names works. If it does not, the reader polls the port a hundred times a second.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::arch::percpu::{self, CpuId};
use crate::arch::tsc;
use crate::arch::vector;
use crate::console::{self, warning};
use crate::platform::{devices, io_apics};
use crate::power;
use crate::sched::wait::WaitQueue;

/// Interval of polling a port that does not interrupt. A person types less than a byte in that time. A fast line may
/// overflow the port's FIFO; the loss is reported.
const POLL_NS: u64 = 10_000_000;
/// Time that the trial waits for its interrupt.
const TRIAL_NS: u64 = 100_000_000;

static ARRIVED: WaitQueue = WaitQueue::new();
/// Interrupts of the port so far.
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static IS_INTERRUPTING: AtomicBool = AtomicBool::new(false);

/// Starts to buffer input; returns false if there is no port. Once, by the thread that will call [`read`].
pub fn start() -> bool {
    if !console::input::start() {
        return false;
    }
    match redirect() {
        Ok(()) => {
            IS_INTERRUPTING.store(true, SeqCst);
            console::input::interrupt_for_input();
        }
        Err(why) => {
            let per_second = 1_000_000_000 / POLL_NS;
            warning(format_args!("serial port: {why}; polling it {per_second} times a second instead"));
        }
    }
    true
}

/// Routes the port's interrupt to the boot CPU, and waits for one to come.
fn redirect() -> Result<(), &'static str> {
    let route = devices::serial_route().ok_or("the firmware names no route for its interrupt")?;
    let boot_cpu = CpuId::new(0).map(|cpu| percpu::get(cpu).apic_id());
    let apic_id = boot_cpu.and_then(|id| u8::try_from(id).ok());
    let apic_id = apic_id.ok_or("the boot cpu's apic id is more than an i/o apic can address")?;
    io_apics::open(route, vector::SERIAL, apic_id)?;
    let before = INTERRUPTS.load(SeqCst);
    console::input::ask_for_interrupt();
    let is_received = || INTERRUPTS.load(SeqCst) != before;
    if ARRIVED.wait_until_deadline(is_received, tsc::now_ns() + TRIAL_NS) {
        return Ok(());
    }
    console::input::disable_interrupts();
    io_apics::mask(route.io_apic, route.pin);
    Err("its interrupt does not come where the firmware says")
}

/// Handles the port's interrupt.
pub fn interrupt() {
    console::input::interrupt();
    INTERRUPTS.fetch_add(1, SeqCst);
    ARRIVED.wake_all();
}

/// Wakes the reader, so that it checks for input and for the power button.
pub fn wake() {
    ARRIVED.wake_all();
}

/// Reads input into `buffer`, and sleeps until there is some. Returns the number of bytes; 0: the power button was
/// pressed.
pub fn read(buffer: &mut [u8]) -> usize {
    loop {
        let is_polled = power::is_polled();
        if is_polled {
            power::look();
        }
        if power::is_pressed() {
            return 0;
        }
        let is_interrupting = IS_INTERRUPTING.load(SeqCst);
        let taken = console::input::take(buffer, is_interrupting);
        if taken > 0 {
            return taken;
        }
        let is_ready = || console::input::is_waiting() || power::is_pressed();
        if is_interrupting && !is_polled {
            ARRIVED.wait_until(|| is_ready() || power::is_polled());
        } else {
            let next_poll_ns = tsc::now_ns() + POLL_NS;
            ARRIVED.wait_until_deadline(is_ready, next_poll_ns);
        }
    }
}
