//! A CPU that polls before it halts: no wake-up is lost, and none needs an interrupt that finds it polling.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use waiting::{Kick, PollFlag};

use crate::world::model;

/// How often a polling CPU looks.
const POLLS: usize = 2;

/// An idle CPU and what its wakers leave for it.
struct Machine {
    flag: PollFlag,
    /// Threads that were queued. Relaxed, so that only the flag and the interrupts order it.
    queued: AtomicUsize,
    /// An interrupt is pending. Taken with interrupts on, it marks the flag, as the kernel's does.
    interrupt: AtomicBool,
}

impl Machine {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            flag: PollFlag::new(),
            queued: AtomicUsize::new(0),
            interrupt: AtomicBool::new(false),
        })
    }

    fn wake(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        if self.flag.kick() == Kick::NeedsInterrupt {
            // As a local APIC merges interrupts: a read-modify-write.
            self.interrupt.fetch_or(true, Ordering::Release);
        }
    }

    fn take_interrupt(&self) -> bool {
        self.interrupt.swap(false, Ordering::Acquire)
    }

    /// The idle loop, once: a look, a poll, and a halt unless there was a wake-up. Returns whether it halts, and the number of
    /// threads that it has seen.
    fn idle(&self) -> (bool, usize) {
        let seen = self.queued.load(Ordering::Relaxed);
        if seen > 0 {
            return (false, seen);
        }
        self.flag.begin();
        for _ in 0..POLLS {
            if self.take_interrupt() {
                let _ = self.flag.kick();
            }
            if self.flag.is_kicked() {
                break;
            }
            thread::yield_now();
        }
        let was_kicked = self.flag.end();
        (!was_kicked, self.queued.load(Ordering::Relaxed))
    }
}

/// A CPU that halts with a thread queued has an interrupt pending, which ends the halt; and whatever ends its polling lets it see
/// all threads whose wakers sent no interrupt.
#[test]
fn no_wake_up_is_lost_between_polling_and_halting() {
    model(|| {
        let machine = Machine::new();
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let machine = machine.clone();
                thread::spawn(move || machine.wake())
            })
            .collect();
        let (halts, mut seen) = machine.idle();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        // All is queued. What the CPU has not seen is announced by an interrupt.
        if machine.take_interrupt() {
            seen = machine.queued.load(Ordering::Relaxed);
        }
        assert_eq!(seen, 2, "a thread waits on a CPU that {}", if halts { "halts" } else { "has looked" });
    });
}

/// Between `begin` and `end` no interrupt is sent, whatever the number of wakers.
#[test]
fn a_polling_cpu_is_not_interrupted() {
    model(|| {
        let machine = Machine::new();
        machine.flag.begin();
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let machine = machine.clone();
                thread::spawn(move || machine.wake())
            })
            .collect();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        assert!(machine.flag.end());
        assert!(!machine.take_interrupt(), "a polling CPU was interrupted");
        assert_eq!(machine.queued.load(Ordering::Relaxed), 2);
    });
}
