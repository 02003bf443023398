//! The thread `screen`: draws the lines that writers left for the screen. It has the lowest weight, so it takes next to
//! nothing from threads that want a CPU.

use alloc::sync::Arc;

use runqueue::Nice;
use spin::Once;

use crate::console::{screen, warning};
use crate::sched::{self, Spawn, Thread};

static DRAWER: Once<Arc<Thread>> = Once::new();

/// Starts the thread, if there is a screen. If it cannot be started, writers draw.
pub fn start() {
    if !screen::is_on() {
        return;
    }
    match Spawn::new("screen").nice(Nice::MAX).start(draw_forever) {
        Ok(thread) => {
            DRAWER.call_once(|| thread.thread().clone());
            screen::start_drawing();
        }
        Err(error) => {
            screen::draw_without_drawer();
            warning(format_args!("the screen's thread could not be started: {error}"));
        }
    }
}

/// Handles the interrupt that says that lines wait: wakes the thread if it was called.
pub fn interrupt() {
    if let Some(thread) = DRAWER.get().filter(|_| screen::is_drawer_called()) {
        sched::unpark(thread);
    }
}

fn draw_forever() {
    loop {
        if !screen::draw_step() {
            sched::park(None);
        }
    }
}
