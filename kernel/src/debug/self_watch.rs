//! The watchdog of a machine with one CPU: nobody else is there to look, so a
//! timer interrupts the CPU by NMI, which neither interrupts-off nor a raised
//! task priority keeps out, a few times in the time allowed.
//!
//! The CPU is stuck when it was found with interrupts off each time and took no
//! interrupt in between, or when threads wait and no slice ever ends.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use lockup::{LockupDetector, Origin, Sample};
use spin::Once;
use spin::mutex::SpinMutex;

use super::watchdog::{Explained, bark};
use crate::arch::nmi_timer::NmiTimer;
use crate::arch::percpu;
use crate::arch::trap_frame::TrapFrame;
use crate::arch::tsc;
use crate::mm::{permanent, space};
use crate::platform::{devices, io_apics};
use crate::sched;

/// How soon the NMI has to come that shows that it can, and how long that may take.
const TRIAL_NS: u64 = 1_000_000;
const TRIAL_TIMEOUT_NS: u64 = 100_000_000;

struct SelfWatch {
    timer: NmiTimer,
    round_ns: u64,
    /// NMIs that came.
    looks: AtomicU64,
    /// Only the NMI takes it, and NMIs do not nest: never waited for.
    state: SpinMutex<State>,
}

/// What was found so far.
struct State {
    detector: LockupDetector,
    /// Interrupts and turns so far when an NMI last came.
    interrupts: u64,
    turns: u64,
}

static WATCH: Once<SelfWatch> = Once::new();

/// Begins to watch the one CPU, the running one. Once.
///
/// # Errors
/// Why nobody watches.
pub fn start(timeout_ns: u64) -> Result<(), &'static str> {
    let registers = devices::hpet().ok_or("there is no hpet")?;
    let route = devices::serial_route().ok_or("no i/o apic is known")?;
    let apic_id = u8::try_from(percpu::this_cpu().apic_id());
    let apic_id = apic_id.map_err(|_| "the cpu's apic id is more than an i/o apic can address")?;
    let hpet = space::map_device(registers, &mut permanent::alloc_table).ok_or("no memory to map it")?;
    // SAFETY: the HPET's table names the registers, just mapped as a device's, for ever; its comparators are used by
    // nobody else (invariant 16).
    let timer = unsafe { NmiTimer::new(hpet) }.ok_or("the hpet has no timer of 64 bits")?;
    // The highest pin, which is no pin of a device of old.
    let pin = io_apics::open_as_nmi(route.io_apic, timer.pins(), apic_id)?;

    let detector = LockupDetector::new(timeout_ns, tsc::now_ns());
    let watch = WATCH.call_once(|| SelfWatch {
        timer,
        round_ns: detector.round_ns(),
        looks: AtomicU64::new(0),
        state: SpinMutex::new(State { detector, interrupts: 0, turns: 0 }),
    });
    watch.timer.connect(pin);
    watch.timer.start(TRIAL_NS);
    let start_ns = tsc::now_ns();
    // An NMI wakes no thread: there is nothing to wait for but the time.
    while watch.looks.load(SeqCst) == 0 {
        if tsc::since_ns(start_ns) > TRIAL_TIMEOUT_NS {
            watch.timer.disconnect();
            io_apics::mask(route.io_apic, pin);
            return Err("the timer's nmi does not come");
        }
        sched::sleep_ns(TRIAL_NS);
    }
    Ok(())
}

/// An NMI came; whether it was the timer's.
pub fn nmi(frame: &TrapFrame) -> bool {
    let Some(watch) = WATCH.get() else { return false };
    match watch.timer.origin() {
        Origin::Outside => return false,
        Origin::Stray => {}
        Origin::Due => {
            watch.timer.start(watch.round_ns);
            watch.looks.fetch_add(1, SeqCst);
            watch.look(frame);
        }
    }
    true
}

/// Nobody is to be watched any more: the machine ends.
pub fn stop() {
    if let Some(watch) = WATCH.get() {
        watch.timer.disconnect();
    }
}

impl SelfWatch {
    fn look(&self, frame: &TrapFrame) {
        let Some(mut state) = self.state.try_lock() else { return };
        let this = percpu::this_cpu();
        let number = this.id().index();
        let interrupts = this.interrupt_count.load(SeqCst);
        let turns = sched::sched_decisions(number);
        let is_interrupted = core::mem::replace(&mut state.interrupts, interrupts) != interrupts;
        let has_turned = core::mem::replace(&mut state.turns, turns) != turns;
        let lockup = state.detector.sample(Sample {
            now_ns: tsc::now_ns(),
            answered: frame.was_interruptible() || is_interrupted || has_turned,
            progressed: has_turned,
            queued: sched::queue_length(number) > 0,
        });
        if let Some(lockup) = lockup {
            this.stopped_rbp.store(frame.rbp, SeqCst);
            this.stopped_rip.store(frame.rip, SeqCst);
            bark(this.id(), format_args!("{}", Explained { cpu: number, lockup }));
        }
    }
}
