//! The timer of [`nmi_probe`](super::nmi_probe): the HPET's last comparator, connected to the running CPU's NMI.
//!
//! It is apart from the probe, because a CPU that takes over the machine stops the timer.

use spin::Once;

use crate::arch::nmi_timer::NmiTimer;
use crate::arch::percpu;
use crate::mm::{permanent, space};
use crate::platform::{devices, io_apics};

static TIMER: Once<NmiTimer> = Once::new();

/// The timer, and its pin of an I/O APIC.
pub(super) struct Connection {
    pub(super) timer: &'static NmiTimer,
    io_apic: u32,
    pin: u8,
}

impl Connection {
    /// Routes the timer to the running CPU's NMI. The timer stays off.
    ///
    /// # Errors
    /// Why this machine has no such timer.
    pub(super) fn open() -> Result<Self, &'static str> {
        let registers = devices::hpet().ok_or("there is no hpet")?;
        let io_apic = devices::serial_route().ok_or("no i/o apic is known")?.io_apic;
        let apic_id = u8::try_from(percpu::this_cpu().apic_id());
        let apic_id = apic_id.map_err(|_| "the cpu's apic id is more than an i/o apic can address")?;
        let hpet = space::map_device(registers, &mut permanent::alloc_table).ok_or("no memory to map it")?;
        // SAFETY:
        // 1. The HPET's table names the registers; they were just mapped as a device's, for ever.
        // 2. Only this driver uses the last comparator (invariant 16); the kernel uses no older timer at this point.
        let timer = unsafe { NmiTimer::new(hpet) }.ok_or("the hpet has no timer of 64 bits")?;
        // The highest pin: no ISA device uses it.
        let pin = io_apics::open_as_nmi(io_apic, timer.pins(), apic_id)?;
        Ok(Self { timer: TIMER.call_once(|| timer), io_apic, pin })
    }

    /// Makes the timer interrupt by the pin, once for each [`NmiTimer::start`].
    pub(super) fn connect(&self) {
        self.timer.connect(self.pin);
    }

    /// Stops the timer and masks the pin.
    pub(super) fn close(self) {
        self.timer.disconnect();
        io_apics::mask(self.io_apic, self.pin);
    }
}

/// Returns the timer, once it is routed.
pub(super) fn get() -> Option<&'static NmiTimer> {
    TIMER.get()
}

/// Stops the timer.
pub fn stop() {
    if let Some(timer) = TIMER.get() {
        timer.disconnect();
    }
}
