//! Interrupts from one CPU to another, as events of the trace.

use trace::{Event, EventClass};

use super::percpu::{self, CpuId};
use super::{apic, tracepoint};

/// Interrupts CPU `to` on `vector`.
#[inline]
pub fn send(to: CpuId, vector: u8) {
    tracepoint::event(EventClass::Ipi, || Event::IpiSend { vector, to: to.index() as u16 });
    apic::local().send_ipi(percpu::get(to).apic_id(), vector);
}
