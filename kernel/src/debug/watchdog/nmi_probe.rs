//! The watchdog's probe on a machine with one CPU. No peer can take samples there. So a timer interrupts the CPU by
//! NMI, [`SAMPLES_PER_TIMEOUT`](lockup::SAMPLES_PER_TIMEOUT) times in the timeout. Neither disabled interrupts nor a
//! raised task priority keep an NMI out.
//!
//! A sample counts as answered if interrupts were on where the NMI came, or if the CPU took an interrupt or made a
//! scheduling decision since the last sample. Where interrupts are off the NMI sends the CPU a ping, because no other
//! interrupt may be due: the CPU takes the ping as soon as interrupts are on, if only for one instruction.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use lockup::{LockupDetector, Origin, Sample};
use spin::Once;
use spin::mutex::SpinMutex;

use super::nmi_timer::{self, Connection};
use super::report::report_hang;
use crate::arch::trap_frame::TrapFrame;
use crate::arch::{apic, percpu, tsc, vector};
use crate::sched;

/// Time until the NMI that shows that the timer works.
const TRIAL_NS: u64 = 1_000_000;
/// Time after which the timer counts as broken.
const TRIAL_TIMEOUT_NS: u64 = 100_000_000;

struct NmiProbe {
    period_ns: u64,
    /// NMIs of the timer so far.
    samples: AtomicU64,
    /// Only the NMI takes this lock, and NMIs do not nest, so it is never contended.
    state: SpinMutex<State>,
}

struct State {
    detector: LockupDetector,
    /// The CPU's interrupts, its answer to a ping and its scheduling decisions, as the last sample found them.
    interrupts: u64,
    pinged_ticks: u64,
    decisions: u64,
}

static PROBE: Once<NmiProbe> = Once::new();

/// Starts to watch the running CPU, which is the only one. Once.
///
/// # Errors
/// Why this machine cannot.
pub(super) fn start(timeout_ns: u64) -> Result<(), &'static str> {
    let connection = Connection::open()?;
    let detector = LockupDetector::new(timeout_ns, tsc::now_ns());
    let probe = PROBE.call_once(|| NmiProbe {
        period_ns: detector.period_ns(),
        samples: AtomicU64::new(0),
        state: SpinMutex::new(State { detector, interrupts: 0, pinged_ticks: 0, decisions: 0 }),
    });
    connection.connect();
    connection.timer.start(TRIAL_NS);
    let start_ns = tsc::now_ns();
    // An NMI wakes no thread, so this polls.
    while probe.samples.load(SeqCst) == 0 {
        if tsc::since_ns(start_ns) > TRIAL_TIMEOUT_NS {
            connection.close();
            return Err("the timer's nmi does not come");
        }
        sched::sleep_ns(TRIAL_NS);
    }
    Ok(())
}

/// Handles an NMI; returns whether it was the timer's.
pub fn nmi(frame: &TrapFrame) -> bool {
    let (Some(timer), Some(probe)) = (nmi_timer::get(), PROBE.get()) else { return false };
    match timer.origin() {
        Origin::Outside => return false,
        Origin::Stray => {}
        Origin::Due => {
            timer.start(probe.period_ns);
            probe.samples.fetch_add(1, SeqCst);
            probe.sample(frame);
        }
    }
    true
}

impl NmiProbe {
    fn sample(&self, frame: &TrapFrame) {
        let Some(mut state) = self.state.try_lock() else { return };
        let this = percpu::this_cpu();
        let number = this.id().index();
        let interrupts = this.interrupt_count.load(SeqCst);
        let pinged_ticks = this.pinged_ticks.load(SeqCst);
        let decisions = sched::sched_decisions(number);
        let is_interrupted = core::mem::replace(&mut state.interrupts, interrupts) != interrupts;
        let is_pinged = core::mem::replace(&mut state.pinged_ticks, pinged_ticks) != pinged_ticks;
        let has_decided = core::mem::replace(&mut state.decisions, decisions) != decisions;
        let lockup = state.detector.sample(Sample {
            now_ns: tsc::now_ns(),
            answered: frame.was_interruptible() || is_interrupted || is_pinged || has_decided,
            progressed: has_decided,
            queued: sched::queue_length(number) > 0,
        });
        if !frame.was_interruptible() {
            apic::local().send_to_self_from_nmi(vector::PING);
        }
        if let Some(lockup) = lockup {
            this.stopped_rbp.store(frame.rbp, SeqCst);
            this.stopped_rip.store(frame.rip, SeqCst);
            report_hang(this.id(), lockup);
        }
    }
}
