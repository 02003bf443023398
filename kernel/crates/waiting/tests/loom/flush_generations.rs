//! Flush generations: once a CPU has acknowledged one, it no longer uses the old translation.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::thread;
use waiting::FlushGenerations;

use crate::world::model;

const NOT_MAPPED: usize = 0;
const MAPPED: usize = 1;
/// How often a waiting CPU looks.
const LOOKS: usize = 2;

/// A page-table entry and the page behind it, and two CPUs that may cache the entry.
struct Machine {
    generations: FlushGenerations<2>,
    entry: AtomicUsize,
    page_is_free: AtomicBool,
    /// An interrupt for CPU 1 is pending.
    is_interrupt_pending: AtomicBool,
}

impl Machine {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            generations: FlushGenerations::new(),
            entry: AtomicUsize::new(MAPPED),
            page_is_free: AtomicBool::new(false),
            is_interrupt_pending: AtomicBool::new(false),
        })
    }

    /// CPU 1 accesses the page through its `cached` copy of the entry.
    fn touch(&self, cached: usize) {
        if cached == MAPPED {
            assert!(!self.page_is_free.load(Relaxed), "a freed page is accessed");
        }
    }

    /// CPU 1 takes the interrupt if it is pending.
    fn take_interrupt(&self, cached: &mut usize) -> bool {
        let is_pending = self.is_interrupt_pending.load(loom::sync::atomic::Ordering::Acquire);
        if is_pending {
            self.generations.ack(1, || *cached = self.entry.load(Relaxed));
        }
        is_pending
    }

    /// CPU 0 removes the mapping, and has every CPU flush it. Returns whether the page was freed.
    fn unmap_and_free(&self) -> bool {
        self.entry.store(NOT_MAPPED, Relaxed);
        let generation = self.generations.request();
        self.generations.ack(0, || {});
        self.is_interrupt_pending.store(true, loom::sync::atomic::Ordering::Release);
        // The kernel spins here; the executions that matter are those in which the acknowledgement is seen.
        for _ in 0..LOOKS {
            if self.generations.is_acked(1, generation) {
                self.page_is_free.store(true, Relaxed);
                return true;
            }
            thread::yield_now();
        }
        false
    }

    /// CPU 1 runs on, and takes the interrupt sooner or later.
    fn run_on(&self, mut cached: usize) {
        for _ in 0..LOOKS {
            self.touch(cached);
            if self.take_interrupt(&mut cached) {
                break;
            }
        }
        self.touch(cached);
    }
}

/// Runs a model, whose result is whether a page was freed. In some execution it must be.
fn model_that_frees(run: impl Fn() -> bool + Send + Sync + 'static) {
    let frees = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = frees.clone();
    model(move || {
        counted.fetch_add(run().into(), std::sync::atomic::Ordering::SeqCst);
    });
    assert!(frees.load(std::sync::atomic::Ordering::SeqCst) > 0, "no execution sees the acknowledgement");
}

#[test]
fn a_page_is_freed_once_no_cpu_caches_its_translation() {
    model_that_frees(|| {
        let machine = Machine::new();
        let other = thread::spawn({
            let machine = machine.clone();
            move || {
                let cached = machine.entry.load(Relaxed);
                machine.run_on(cached);
            }
        });
        let is_freed = machine.unmap_and_free();
        other.join().unwrap();
        is_freed
    });
}

/// A flush that began before the request does not acknowledge it.
#[test]
fn a_flush_that_began_before_the_request_is_no_acknowledgement() {
    model_that_frees(|| {
        let machine = Machine::new();
        let other = thread::spawn({
            let machine = machine.clone();
            move || {
                // A flush that another CPU had requested.
                let mut cached = MAPPED;
                machine.generations.ack(1, || cached = machine.entry.load(Relaxed));
                machine.run_on(cached);
            }
        });
        let is_freed = machine.unmap_and_free();
        other.join().unwrap();
        is_freed
    });
}
