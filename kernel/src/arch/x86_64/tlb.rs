//! Making every CPU forget translations: a mapping is gone only after that.
//!
//! A flush is a ticket: the CPU that wants one draws a number, interrupts all
//! others, and waits until each has flushed since. A CPU flushes everything
//! at once (no mapping is global), so one flush answers all tickets drawn
//! before it, however many pages each was for.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use ::trace::{Class, Event};
use x86_64::instructions::{interrupts, tlb};

use super::irq::IrqGuard;
use super::percpu::{self, MAX_CPUS};
use super::trap::VECTOR_FLUSH;
use super::{apic, cpu};
use crate::debug::trace;

/// Tickets drawn so far.
static DRAWN: AtomicU64 = AtomicU64::new(0);
/// For each CPU, the last ticket that it has answered.
static ANSWERED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Flushes this CPU's translations; interrupts are off.
pub fn flush_here() {
    // Read before flushing: a ticket drawn in between wants another flush.
    let drawn = DRAWN.load(SeqCst);
    tlb::flush_all();
    ANSWERED[percpu::this_cpu().id().index()].fetch_max(drawn, SeqCst);
}

/// Returns when no CPU has a translation any more that was not in the page
/// tables when this was called.
///
/// Interrupts are on, and no lock is held that is held with interrupts off:
/// others may be waiting for it and would never answer.
///
/// # Panics
/// With interrupts off.
pub fn flush_everywhere() {
    assert!(interrupts::are_enabled(), "a flush everywhere is waited for, with interrupts on");
    let ticket = DRAWN.fetch_add(1, SeqCst) + 1;
    // CPUs that come online later have never seen the mapping.
    let mut asked = [false; MAX_CPUS];
    {
        let _irq = IrqGuard::new();
        flush_here();
        for other in percpu::all().filter(|other| other.is_online()) {
            if other.id() != percpu::this_cpu().id() {
                asked[other.id().index()] = true;
                let to = other.id().index() as u16;
                trace::event_irqs_off(Class::Ipi, || Event::IpiSend { vector: VECTOR_FLUSH, to });
                apic::local().send_ipi(other.apic_id(), VECTOR_FLUSH);
            }
        }
    }
    for (answered, _) in ANSWERED.iter().zip(asked).filter(|(_, asked)| *asked) {
        while answered.load(SeqCst) < ticket {
            cpu::relax();
        }
    }
}
