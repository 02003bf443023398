//! What is tested in the booted kernel: what needs its CPUs, its memory and its
//! interrupts. Policy is tested on the host, beside its code.

mod arch;
mod counted;
mod counted_sched;
mod heap;
mod huge;
mod huge_1g;
mod huge_parameters;
mod jobs;
mod ktask;
mod mm;
mod page_cache;
mod pools;
mod pools_accounts;
mod pools_workers;
mod registers;
mod sched;
mod sched_block;
mod sched_hotplug;
mod sched_nodes;
mod sched_share;
mod sched_snapshot;
mod spinners;
mod stress;
mod trace;
mod wait;
