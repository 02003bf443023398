//! How threads block, wake each other and end.

use runqueue::ParkDecision;
use trace::Why;

use super::cpus::here;
pub use super::resched::unpark;
use super::switch::run_next;
use super::thread::{self, Thread};
use super::timer;
use crate::arch::chaos::{self, Point};
use crate::arch::irq::IrqGuard;
use crate::arch::spin_lock::debug_assert_no_locks;
use crate::arch::tsc;

/// Blocks the current thread, if `really` still wants to once the thread is detached from its queue. Interrupts are off.
#[inline(always)]
pub(super) fn block_if(why: Why, really: impl FnOnce(&Thread) -> bool) {
    let running = thread::current();
    let (cpu, id) = here();
    let now_ns = tsc::now_ns();
    let mut queue = cpu.lock_queue();
    queue.charge(running, now_ns);
    queue.queue().detach(&running.entity);
    // Under the lock: a waker that finds the thread parked queues it here, after it was detached.
    if !really(running) {
        queue.attach(running, now_ns);
        return;
    }
    let own = queue.pop();
    drop(queue);
    run_next(cpu, id, own, why, now_ns);
}

/// Panics, in debug builds, where a thread must not block: while it holds a spin lock, or with interrupts off.
/// `doing` is what it is about to do.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub fn debug_assert_may_block(doing: &str) {
    debug_assert_no_locks(19, doing);
    debug_assert!(
        x86_64::instructions::interrupts::are_enabled(),
        "invariant 19: {doing} with interrupts off, in thread {}",
        thread::current_name()
    );
}

/// Blocks the calling thread until [`unpark`] is called for it, or `deadline_ns` (on the clock of [`tsc::now_ns`]) has
/// come. An `unpark` from before is used up and returns at once. May return without reason.
pub fn park(deadline_ns: Option<u64>) {
    debug_assert_may_block("a thread blocks");
    chaos::point(Point::Park);
    let irq = IrqGuard::new();
    let thread = thread::current();
    debug_assert!(!thread.is_idle(), "the idle thread must not block");
    block_if(Why::Blocked, |thread| {
        if thread.park.prepare_park() == ParkDecision::Consumed {
            return false;
        }
        // Only once the thread counts as parked: another CPU may take over this one's deadlines (`timer::move_all`), and
        // one that expires there too early would wake no thread.
        if let Some(deadline_ns) = deadline_ns {
            timer::add(thread, deadline_ns);
        }
        true
    });
    if deadline_ns.is_some() {
        timer::remove(thread);
    }
    drop(irq);
}

/// Ends the calling thread, which never runs again. Interrupts are off.
pub(super) fn exit_current() -> ! {
    block_if(Why::Ended, |_| true);
    unreachable!("an ended thread was run again");
}
