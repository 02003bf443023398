//! The thread that sends what writers had to leave: a port was busy, and they must not wait or did not have to any longer.

use alloc::sync::Arc;

use spin::Once;

use crate::arch::tsc;
use crate::console::{self, serial, warning};
use crate::sched::{self, Spawn, Thread};

static FLUSHER: Once<Arc<Thread>> = Once::new();

/// Starts the thread; without it writers wait with interrupts off too.
pub fn start() {
    match Spawn::new("console").start(flush_forever) {
        Ok(thread) => {
            FLUSHER.call_once(|| thread.thread().clone());
            serial::start_flushing();
        }
        Err(error) => warning(format_args!("the console's thread could not be started: {error}")),
    }
}

/// Lines wait that nobody sends.
pub fn interrupt() {
    if let Some(thread) = FLUSHER.get() {
        sched::unpark(thread);
    }
}

fn flush_forever() {
    loop {
        match serial::flush_step() {
            // What is written from now on wakes it up.
            None => {
                console::report_lost();
                sched::park(None);
            }
            Some(0) => {}
            Some(ns) => {
                // A port that is stuck may stay so: the other one tells of it.
                console::report_lost();
                sched::park(Some(tsc::now_ns() + ns));
            }
        }
    }
}
