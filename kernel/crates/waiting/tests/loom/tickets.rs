//! Flush tickets: once a ticket is answered, nobody uses the old translation.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::thread;
use waiting::Tickets;

use crate::world::model;

const NOT_MAPPED: usize = 0;
const MAPPED: usize = 1;
/// How often who waits looks.
const LOOKS: usize = 2;

/// A page-table entry and the page behind it, and two CPUs that may remember the entry.
struct Machine {
    tickets: Tickets<2>,
    entry: AtomicUsize,
    page_is_free: AtomicBool,
    /// An interrupt for CPU 1 is on its way.
    is_asked: AtomicBool,
}

impl Machine {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            tickets: Tickets::new(),
            entry: AtomicUsize::new(MAPPED),
            page_is_free: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
        })
    }

    /// CPU 1 has `remembered` the entry, and goes through it.
    fn touch(&self, remembered: usize) {
        if remembered == MAPPED {
            assert!(!self.page_is_free.load(Relaxed), "a page is used that was given back");
        }
    }

    /// CPU 1 takes the interrupt if it is there.
    fn take_interrupt(&self, remembered: &mut usize) -> bool {
        let comes = self.is_asked.load(loom::sync::atomic::Ordering::Acquire);
        if comes {
            self.tickets.answer(1, || *remembered = self.entry.load(Relaxed));
        }
        comes
    }

    /// CPU 0 takes the mapping away, and has everybody forget it.
    fn unmap_and_free(&self) {
        self.entry.store(NOT_MAPPED, Relaxed);
        let ticket = self.tickets.draw();
        self.tickets.answer(0, || {});
        self.is_asked.store(true, loom::sync::atomic::Ordering::Release);
        // The kernel spins here; what matters are the executions in which the answer is seen.
        for _ in 0..LOOKS {
            if self.tickets.is_answered(1, ticket) {
                self.page_is_free.store(true, Relaxed);
                return;
            }
            thread::yield_now();
        }
    }

    /// CPU 1 runs on, and takes the interrupt sooner or later.
    fn run_on(&self, mut remembered: usize) {
        for _ in 0..LOOKS {
            self.touch(remembered);
            if self.take_interrupt(&mut remembered) {
                break;
            }
        }
        self.touch(remembered);
    }
}

#[test]
fn a_page_is_given_back_once_nobody_remembers_it() {
    model(|| {
        let machine = Machine::new();
        let other = thread::spawn({
            let machine = machine.clone();
            move || {
                let remembered = machine.entry.load(Relaxed);
                machine.run_on(remembered);
            }
        });
        machine.unmap_and_free();
        other.join().unwrap();
    });
}

/// A flush that was under way when the ticket was drawn does not answer it.
#[test]
fn a_flush_that_began_before_is_no_answer() {
    model(|| {
        let machine = Machine::new();
        let other = thread::spawn({
            let machine = machine.clone();
            move || {
                // One that somebody else had asked for.
                let mut remembered = MAPPED;
                machine.tickets.answer(1, || remembered = machine.entry.load(Relaxed));
                machine.run_on(remembered);
            }
        });
        machine.unmap_and_free();
        other.join().unwrap();
    });
}
