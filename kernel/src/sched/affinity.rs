//! Which CPUs a thread may run on, and which memory node it prefers.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;

use runqueue::CpuMask;

use super::cpus;
use super::place::{kick_affinity_check, may_run_on, offer_to_idle};
use super::preempt::leave_if_misplaced;
use super::thread::{self, Thread};

/// Why a thread's CPUs could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AffinityError {
    /// No CPU of the set is online.
    NoSuchCpu(CpuMask),
}

impl fmt::Display for AffinityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchCpu(mask) => {
                write!(f, "none of the cpus {{{mask}}} is online; a thread needs one of {}", cpus::active())
            }
        }
    }
}

/// Lets `thread` run only on the CPUs of `allowed`. A thread that runs or is queued elsewhere migrates at once: the calling
/// thread before this returns, another one as soon as its CPU has taken an interrupt.
pub fn set_affinity(thread: &Thread, allowed: &CpuMask) -> Result<(), AffinityError> {
    if (*allowed & cpus::active()).is_empty() {
        return Err(AffinityError::NoSuchCpu(*allowed));
    }
    thread.allowed.store(allowed);
    // After the mask: see `kick_affinity_check`. A sleeping thread is placed again when it wakes up.
    let cpu = thread.cpu.load(SeqCst);
    if !may_run_on(thread, cpu) {
        kick_affinity_check(cpu);
    } else if thread.is_queued.load(SeqCst) {
        // Store then load: we store the mask, then load the idle count. A stealer raises the idle count, then loads the mask.
        offer_to_idle(allowed);
    }
    if core::ptr::eq(thread, thread::current()) {
        leave_if_misplaced();
    }
    Ok(())
}

/// Has `thread` prefer the CPUs of memory node `node` when it wakes up, if they are allowed and idle; with `None`, those of
/// the node that it is on. A preference: a thread that would have to wait goes elsewhere. A running or queued thread stays
/// where it is until it has slept.
pub fn set_node_preference(thread: &Thread, node: Option<usize>) {
    thread.set_preferred_node(node);
}
