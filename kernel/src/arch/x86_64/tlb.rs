//! Making every CPU forget translations: a mapping is gone only after that.
//!
//! A flush is a ticket: the CPU that wants one draws a number, interrupts all
//! others, and waits until each has flushed since. A CPU flushes everything
//! at once (no mapping is global), so one flush answers all tickets drawn
//! before it, however many pages each was for. The tickets are
//! [`waiting::tickets`].

use waiting::Tickets;
use x86_64::instructions::{interrupts, tlb};

use super::irq::IrqGuard;
use super::percpu::{self, MAX_CPUS};
use super::trap::VECTOR_FLUSH;
use super::{cpu, ipi};

static TICKETS: Tickets<MAX_CPUS> = Tickets::new();

/// Flushes this CPU's translations; interrupts are off.
pub fn flush_here() {
    TICKETS.answer(percpu::this_cpu().id().index(), tlb::flush_all);
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
    let ticket = TICKETS.draw();
    // CPUs that come online later flush before they run a thread (`sched/hotplug.rs`), if they ever ran one.
    let mut asked = [false; MAX_CPUS];
    {
        let _irq = IrqGuard::new();
        flush_here();
        for other in percpu::all().filter(|other| other.is_online()) {
            if other.id() != percpu::this_cpu().id() {
                asked[other.id().index()] = true;
                ipi::send(other.id(), VECTOR_FLUSH);
            }
        }
    }
    for (cpu, _) in asked.into_iter().enumerate().filter(|(_, asked)| *asked) {
        while !TICKETS.is_answered(cpu, ticket) {
            cpu::relax();
        }
    }
}
