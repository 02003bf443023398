//! Control of the trace: switching it on and off, the memory of the rings, and the ways in which events leave the
//! machine. The recorder is `arch/x86_64/tracepoint.rs`.

mod control;
mod dump;
mod tail;

pub use control::{StartError, has_rings, start, start_at_boot, stop, update_classes};
pub use dump::{DumpStats, dump, finish};
pub use tail::{last_events, print_last_events, print_last_events_live};
