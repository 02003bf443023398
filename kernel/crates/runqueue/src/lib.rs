//! The scheduler's policy in safe code: queues of threads, the CPU that a thread
//! goes to, and the state machine of a thread that blocks.
//!
//! * [`fair`]: the run queue, weighted fair by virtual runtime; [`entity`]: its threads; [`weight`]: their weights.
//! * [`heap`] and [`list`]: queues by key and by age of thread numbers whose links
//!   live in the threads, so that queueing a thread never allocates.
//! * [`balance`]: which CPU a woken thread runs on, and from which CPU an idle one steals.
//! * [`mask`]: sets of CPUs.
//! * [`quota`]: how much CPU time a group of threads may use.
//! * [`sweep`]: a search through a table in steps.
//! * [`park`]: how a thread goes to sleep without missing its wake-up.
//!
//! No unsafe code, no allocation. With `--cfg loom` the park state is built on
//! loom's atomics, so that its models run the very code the kernel runs.
#![no_std]
#![forbid(unsafe_code)]

pub mod balance;
pub mod entity;
pub mod fair;
pub mod heap;
pub mod list;
pub mod mask;
pub mod park;
pub mod quota;
pub mod sweep;
pub mod weight;

mod class_queue;
mod sync;

pub use balance::{Load, choose_cpu, push_to, steal_from};
pub use entity::{Entity, LONGEST_RUN_NS, SHORTEST_SLICE_NS, SLICE_NS, SchedClass};
pub use fair::{Entities, FairQueue, PreemptReason};
pub use heap::{Heap, HeapNode, HeapNodes};
pub use list::{Link, Links, List, Tid};
pub use mask::{CpuMask, MAX_CPUS, SharedCpuMask};
pub use park::{ParkDecision, ParkState, UnparkAction};
pub use quota::{Bandwidth, Quota, QuotaError, RuntimeSlice};
pub use sweep::Sweep;
pub use weight::{Nice, Weight};
