//! The watchdog of a machine with one CPU: nobody else is there to look, so a
//! timer interrupts the CPU by NMI, which neither interrupts-off nor a raised
//! task priority keeps out, a few times in the time allowed.
//!
//! The CPU is stuck when it was found with interrupts off each time and took no
//! interrupt in between, or when threads wait and no slice ever ends.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use spin::Once;

use super::watchdog::{ROUNDS, Starved, bark};
use crate::arch::nmi_timer::NmiTimer;
use crate::arch::percpu;
use crate::arch::trap::TrapFrame;
use crate::arch::tsc;
use crate::mm::{kept, space};
use crate::platform::io_apics;
use crate::{platform, sched};

/// How soon the NMI has to come that shows that it can, and how long that may take.
const TRIAL_NS: u64 = 1_000_000;
const TRIAL_TIMEOUT_NS: u64 = 100_000_000;

struct SelfWatch {
    timer: NmiTimer,
    timeout_ns: u64,
    /// NMIs that came.
    looks: AtomicU64,
    /// Interrupts and turns so far when an NMI last came.
    interrupts: AtomicU64,
    turns: AtomicU64,
    /// Since the CPU was last found to take interrupts.
    silent: Since,
    /// Since a slice was last found to have ended, or no thread to wait.
    starved: Since,
}

/// How long nothing good has been seen. Looks count, not time alone: a host that stops the machine for a while makes
/// time pass in which nothing could happen.
struct Since {
    good_ns: AtomicU64,
    bad_looks: AtomicU64,
}

impl Since {
    fn new() -> Self {
        Self { good_ns: AtomicU64::new(tsc::now_ns()), bad_looks: AtomicU64::new(0) }
    }

    /// A look came out good or not; if it was bad so often that something is wrong, for how long it has been.
    fn note(&self, is_good: bool) -> Option<u64> {
        let now_ns = tsc::now_ns();
        if is_good {
            self.good_ns.store(now_ns, SeqCst);
            self.bad_looks.store(0, SeqCst);
            return None;
        }
        let bad_looks = self.bad_looks.fetch_add(1, SeqCst) + 1;
        (bad_looks >= ROUNDS).then(|| now_ns - self.good_ns.load(SeqCst))
    }
}

static WATCH: Once<SelfWatch> = Once::new();

/// Begins to watch the one CPU, the running one. Once.
///
/// # Errors
/// Why nobody watches.
pub fn start(timeout_ns: u64) -> Result<(), &'static str> {
    let registers = platform::hpet().ok_or("there is no hpet")?;
    let route = platform::serial_route().ok_or("no i/o apic is known")?;
    let apic_id = u8::try_from(percpu::this_cpu().apic_id());
    let apic_id = apic_id.map_err(|_| "the cpu's apic id is more than an i/o apic can address")?;
    let hpet = space::map_device(registers, &mut kept::alloc_table).ok_or("no memory to map it")?;
    // SAFETY: the HPET's table names the registers, just mapped as a device's, for ever; its comparators are used by
    // nobody else (invariant 16).
    let timer = unsafe { NmiTimer::new(hpet) }.ok_or("the hpet has no timer of 64 bits")?;
    // The highest pin, which is no pin of a device of old.
    let pin = io_apics::open_as_nmi(route.io_apic, timer.pins(), apic_id)?;

    let watch = WATCH.call_once(|| SelfWatch {
        timer,
        timeout_ns,
        looks: AtomicU64::new(0),
        interrupts: AtomicU64::new(0),
        turns: AtomicU64::new(0),
        silent: Since::new(),
        starved: Since::new(),
    });
    watch.timer.connect(pin);
    watch.timer.start(TRIAL_NS);
    let start_ns = tsc::now_ns();
    // An NMI wakes no thread: there is nothing to wait for but the time.
    while watch.looks.load(SeqCst) == 0 {
        if tsc::now_ns() - start_ns > TRIAL_TIMEOUT_NS {
            watch.timer.disconnect();
            io_apics::mask(route.io_apic, pin);
            return Err("the timer's nmi does not come");
        }
        sched::sleep_ns(TRIAL_NS);
    }
    Ok(())
}

/// An NMI came; whether it was the timer's, and all is well.
pub fn nmi(frame: &TrapFrame) -> bool {
    let Some(watch) = WATCH.get().filter(|watch| watch.timer.is_due()) else { return false };
    watch.timer.start(watch.timeout_ns / ROUNDS);
    watch.looks.fetch_add(1, SeqCst);
    watch.look(frame);
    true
}

impl SelfWatch {
    fn look(&self, frame: &TrapFrame) {
        let this = percpu::this_cpu();
        let number = this.id().index();
        let interrupts = this.interrupt_count.load(SeqCst);
        let turns = sched::turns_of(number);
        let is_interrupted = self.interrupts.swap(interrupts, SeqCst) != interrupts;
        let has_turned = self.turns.swap(turns, SeqCst) != turns;
        if let Some(ns) = self.silent.note(frame.was_interruptible() || is_interrupted || has_turned) {
            bite(frame, format_args!("answers no interrupt for {} ms", ns / 1_000_000));
        }
        if let Some(ns) = self.starved.note(has_turned || sched::queue_length(number) == 0) {
            bite(frame, format_args!("{}", Starved { cpu: number, ns }));
        }
    }
}

/// Ends the run; `frame` is where the CPU is stuck.
fn bite(frame: &TrapFrame, what: fmt::Arguments<'_>) -> ! {
    let this = percpu::this_cpu();
    this.stopped_rbp.store(frame.rbp, SeqCst);
    this.stopped_rip.store(frame.rip, SeqCst);
    bark(this.id(), what)
}
