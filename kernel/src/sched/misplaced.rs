//! Threads that are queued on a CPU where they may not run: the CPU finds them, and queues them elsewhere.
//!
//! It goes on in steps, each of a few threads, because interrupts are off meanwhile.

use core::sync::atomic::Ordering::SeqCst;

use super::cpus::Cpu;
use super::place::{self, EnqueueReason};
use super::resched::make_runnable;
use crate::arch::percpu::CpuId;

/// Threads that one step sends elsewhere.
const EVICTIONS: usize = 4;

/// Goes one step on with the search for threads that are queued on the calling CPU `id` and not allowed there. Returns
/// whether the caller has to continue, after it has let interrupts in. Interrupts are off, and no thread is leaving this CPU.
pub(super) fn evict_some(cpu: &Cpu, id: CpuId) -> bool {
    // Before the look at the queue: a thread that becomes misplaced after the look requests a new one.
    let is_requested = cpu.has_misplaced.swap(false, SeqCst);
    for step in 0..EVICTIONS {
        let mut search = cpu.misplaced.lock();
        if is_requested && step == 0 {
            search.request();
        }
        if search.is_over() {
            return false;
        }
        let may_not_run = |thread: &_| !place::may_run_on(thread, id.index());
        let taken = cpu.lock_queue().evict(id.index(), &mut search, may_not_run);
        let is_over = search.is_over();
        drop(search);
        match taken {
            Some(thread) => make_runnable(thread, EnqueueReason::Moved),
            None => return !is_over,
        }
    }
    true
}
