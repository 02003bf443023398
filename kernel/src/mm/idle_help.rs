//! Idle CPUs initialise deferred sections of the memory map during the boot.
//!
//! A CPU that has come online and finds no thread to run takes section after section, before it halts for the first
//! time. Nothing wakes it, so nothing pays for a wake-up: under emulation the first one in a boot takes longer than the
//! sections of 6 GiB. A thread that is woken on that CPU waits for no more than one section.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use params::registry::{KTASK_ENABLED, KTASK_MAX_THREADS};
use spin::Once;

use super::descriptors::{self, SectionError};
use super::mem_map;
use crate::arch::{cpu, tsc};
use crate::platform::nodes;

/// Whether idle CPUs look for sections: from the end of the first step of memory map init until no section is left for them.
static IS_OPEN: AtomicBool = AtomicBool::new(false);
/// Idle CPUs that are initialising a section.
static BUSY_CPUS: AtomicUsize = AtomicUsize::new(0);
/// Sections that the first step left.
static DEFERRED: AtomicU64 = AtomicU64::new(0);
/// Sections that idle CPUs have initialised.
static DONE: AtomicU64 = AtomicU64::new(0);
/// When the first of them was begun; 0 before.
static STARTED_NS: AtomicU64 = AtomicU64::new(0);
/// The error that ended the help.
static FAILURE: Once<SectionError> = Once::new();

/// Opens the help for `deferred` sections.
pub fn begin(deferred: u64) {
    DEFERRED.store(deferred, SeqCst);
    IS_OPEN.store(deferred > 0, SeqCst);
}

/// Returns how many CPUs may help at a time: as many as the parameters allow a job in excess of its caller.
fn most_cpus() -> usize {
    match KTASK_MAX_THREADS.get() {
        _ if !KTASK_ENABLED.get() => 0,
        0 => usize::MAX,
        threads => threads as usize - 1,
    }
}

/// Returns whether there is a section for an idle CPU.
#[inline]
pub fn wants_cpu() -> bool {
    IS_OPEN.load(SeqCst) && BUSY_CPUS.load(SeqCst) < most_cpus()
}

/// Initialises one section, of this CPU's node if any is left there. Ends the help after the last section, and after an error.
pub fn init_section() {
    if BUSY_CPUS.fetch_add(1, SeqCst) < most_cpus() && IS_OPEN.load(SeqCst) {
        // Another CPU may have been first.
        let _ = STARTED_NS.compare_exchange(0, tsc::now_ns().max(1), SeqCst, SeqCst);
        let zones = mem_map::zones();
        match descriptors::progress().init_next(descriptors::layout(), zones, nodes::current()) {
            Some(Ok(())) => {
                DONE.fetch_add(1, SeqCst);
            }
            Some(Err(error)) => {
                FAILURE.call_once(|| error);
                IS_OPEN.store(false, SeqCst);
            }
            None => IS_OPEN.store(false, SeqCst),
        }
    }
    BUSY_CPUS.fetch_sub(1, SeqCst);
}

/// Returns the error that ended the help, if any.
pub fn failure() -> Option<SectionError> {
    FAILURE.get().copied()
}

/// Ends the help, and waits for the sections that idle CPUs have begun: each is done soon, because no thread takes such a CPU
/// before. Called with interrupts on.
pub fn end() {
    IS_OPEN.store(false, SeqCst);
    while BUSY_CPUS.load(SeqCst) > 0 {
        cpu::relax();
    }
}

/// What idle CPUs have done.
#[derive(Debug, Clone, Copy)]
pub struct Help {
    /// Sections that the first step of memory map init left.
    pub deferred: u64,
    /// Sections that idle CPUs have initialised.
    pub done: u64,
    /// When the first of them was begun, if any was.
    pub started_ns: Option<u64>,
}

/// Returns what idle CPUs have done so far.
pub fn help() -> Help {
    let started_ns = STARTED_NS.load(SeqCst);
    Help {
        deferred: DEFERRED.load(SeqCst),
        done: DONE.load(SeqCst),
        started_ns: (started_ns > 0).then_some(started_ns),
    }
}
