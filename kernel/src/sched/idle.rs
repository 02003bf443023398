//! The idle thread of each CPU.

use core::sync::atomic::Ordering::SeqCst;

use trace::{Event, EventClass, Why};

use super::cpus::{self, Cpu, here};
use super::idle_poll::IdlePoll;
use super::misplaced;
use super::reap::{has_dead, reap};
use super::spawn::adopt_idle;
use super::steal::{self, steal};
use super::switch::switch_to;
use super::thread::Thread;
use super::wait::WaitQueue;
use crate::arch::irq::{IrqGuard, let_interrupts_in};
use crate::arch::percpu::{self, CpuId};
use crate::arch::{apic, tracepoint, tsc};
use crate::mm::{idle_help, zero_pool};

/// Threads that wait for a CPU that goes offline. Woken each time such a CPU is about to halt.
pub(super) static QUIESCED: WaitQueue = WaitQueue::new();

/// Makes the running code this CPU's idle thread, and the CPU active.
pub fn start_cpu() {
    let _irq = IrqGuard::new();
    let (cpu, id) = here();
    apic::local().start_timer();
    cpu.idle.store(adopt_idle(id).get(), SeqCst);
    cpu.note_idle();
    cpus::set_active(id.index());
    percpu::this_cpu().set_online();
}

/// Runs threads, or does what an idle CPU does, else polls for a while and halts until an interrupt comes: the idle thread's
/// life.
pub fn idle_forever() -> ! {
    let mut poll = IdlePoll::new();
    loop {
        x86_64::instructions::interrupts::disable();
        let (cpu, id) = here();
        if misplaced::evict_some(cpu, id) {
            // None of these threads begins to run here.
            let_interrupts_in();
            continue;
        }
        let is_active = cpus::is_active(id.index());
        if !is_active && cpu.nr_queued() > 0 {
            // Its waker chose this CPU while it was active, and has not asked for the affinity check yet: send it on.
            cpu.has_misplaced.store(true, SeqCst);
        } else if is_active && let Some(next) = take_next(cpu, id) {
            cpu.note_busy(next);
            let now_ns = tsc::now_ns();
            poll.end_period(next, now_ns);
            switch_to(cpu, id, next, Why::Idle, now_ns);
            steal::request_search(cpu);
            x86_64::instructions::interrupts::enable();
        } else if is_active && steal::is_searching(cpu) {
            let_interrupts_in();
        } else if is_active && has_dead() {
            x86_64::instructions::interrupts::enable();
            reap();
        } else if is_active && idle_help::wants_cpu() {
            // One section at a time, as below.
            x86_64::instructions::interrupts::enable();
            idle_help::init_section();
        } else if is_active && zero_pool::wants_page() {
            // One page at a time: a thread that is woken meanwhile waits for no more than that.
            x86_64::instructions::interrupts::enable();
            zero_pool::add_page();
        } else if is_active && poll.poll(cpu) {
            // As for a reschedule interrupt.
            steal::request_search(cpu);
            let_interrupts_in();
        } else {
            if !is_active {
                // From here on it takes no thread that it could have chosen before: `hotplug::offline` waits for that.
                cpu.is_quiesced.store(true, SeqCst);
                QUIESCED.wake_all();
            }
            // An interrupt between the look and the halt is not lost: `sti` takes effect after `hlt` began.
            tracepoint::event_irqs_off(EventClass::Halt, || Event::HaltEnter);
            x86_64::instructions::interrupts::enable_and_hlt();
            tracepoint::event(EventClass::Halt, || Event::HaltExit);
        }
    }
}

/// Takes the next thread for CPU `id`: the first of the CPU's queue, else a stolen one, else one that the next step of the
/// search finds. Interrupts are off.
fn take_next(cpu: &Cpu, id: CpuId) -> Option<&'static Thread> {
    if cpu.nr_queued() > 0 {
        let mut queue = cpu.lock_queue();
        if let Some(next) = queue.pop() {
            queue.start_charging(tsc::now_ns());
            return Some(next);
        }
    }
    steal(cpu, id).or_else(|| steal::take_hidden(cpu, id))
}
