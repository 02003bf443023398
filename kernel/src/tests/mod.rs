//! In-kernel tests, of what needs the booted kernel's CPUs, memory and interrupts. Policy is tested on the host, beside
//! its code. The misuse that `fault.misuse` chooses is here too.

mod arch;
mod chaos;
mod counted;
mod counted_sched;
mod evict;
mod heap;
mod huge;
mod huge_1g;
mod huge_parameters;
mod huge_rounds;
mod idle_poll;
mod irqs_off;
mod jobs;
mod ktask;
#[cfg(debug_assertions)]
mod misuse;
mod mm;
mod page_cache;
mod parameters;
mod pools;
mod pools_accounts;
mod pools_weight;
mod pools_workers;
mod registers;
mod sched;
mod sched_block;
mod sched_hotplug;
mod sched_nodes;
mod sched_share;
mod sched_snapshot;
mod sched_steal;
mod screen;
mod spinners;
mod stress;
mod trace;
mod wait;

use params::registry::FAULT_MISUSE;

use crate::console::warning;

/// Misuses locks, threads or memory as `fault.misuse` says; a debug build panics.
pub fn commit_misuse() {
    let name = FAULT_MISUSE.get();
    if name == "none" {
        return;
    }
    #[cfg(debug_assertions)]
    misuse::commit(name);
    warning(format_args!("fault.misuse={name}: no check found it; only profile kernel-debug looks for it"));
}
