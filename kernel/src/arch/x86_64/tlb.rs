//! Flushes the TLBs of all CPUs: a mapping is gone only after that.
//!
//! The initiating CPU requests a flush generation, interrupts all other CPUs, and waits until each has
//! acknowledged it. A CPU flushes its whole TLB at once (no mapping is global). So one flush acknowledges all
//! generations that were requested before it, however many pages each was for. [`waiting::flush_generations`]
//! counts them.

use waiting::FlushGenerations;
use x86_64::instructions::{interrupts, tlb};

use super::irq::IrqGuard;
use super::percpu::{self, MAX_CPUS};
use super::{cpu, ipi, vector};

static GENERATIONS: FlushGenerations<MAX_CPUS> = FlushGenerations::new();

/// Flushes this CPU's TLB; interrupts are off.
pub fn flush_here() {
    GENERATIONS.ack(percpu::this_cpu().id().index(), tlb::flush_all);
}

/// Flushes the TLBs of all CPUs. When this returns, no CPU has a translation
/// that was not in the page tables when this was called.
///
/// The caller has interrupts on and holds no lock that is held with interrupts off: a CPU that spins for it would
/// never acknowledge.
///
/// # Panics
/// With interrupts off.
pub fn flush_everywhere() {
    assert!(interrupts::are_enabled(), "a CPU waits for a flush everywhere with interrupts off");
    let generation = GENERATIONS.request();
    // CPUs that are offline flush before they run a thread again (`sched/hotplug.rs`).
    let mut asked = [false; MAX_CPUS];
    {
        let _irq = IrqGuard::new();
        flush_here();
        for other in percpu::all().filter(|other| other.is_online()) {
            if other.id() != percpu::this_cpu().id() {
                asked[other.id().index()] = true;
                ipi::send(other.id(), vector::FLUSH);
            }
        }
    }
    for (cpu, _) in asked.into_iter().enumerate().filter(|(_, asked)| *asked) {
        while !GENERATIONS.is_acked(cpu, generation) {
            cpu::relax();
        }
    }
}
