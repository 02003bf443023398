//! The thread `console`: sends the lines that writers queued and did not send, because the port was busy and the writer
//! must not wait, or waited long enough.

use alloc::sync::Arc;

use spin::Once;

use crate::arch::tsc;
use crate::console::{self, serial, warning};
use crate::sched::{self, Spawn, Thread};

static FLUSHER: Once<Arc<Thread>> = Once::new();

/// Starts the thread. Without it, writers with interrupts off wait as well.
pub fn start() {
    match Spawn::new("console").start(flush_forever) {
        Ok(thread) => {
            FLUSHER.call_once(|| thread.thread().clone());
            serial::start_flushing();
        }
        Err(error) => warning(format_args!("the console's thread could not be started: {error}")),
    }
}

/// Handles the interrupt that says that lines are queued: wakes the thread if it was called.
pub fn interrupt() {
    if let Some(thread) = FLUSHER.get().filter(|_| serial::is_flusher_called()) {
        sched::unpark(thread);
    }
}

fn flush_forever() {
    loop {
        match serial::flush_step() {
            // The next queued line wakes the thread.
            None => {
                console::report_lost();
                sched::park(None);
            }
            Some(0) => {}
            Some(ns) => {
                // The stuck port may stay stuck, so the other port reports its losses.
                console::report_lost();
                sched::park(Some(tsc::now_ns() + ns));
            }
        }
    }
}
