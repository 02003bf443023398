//! Compares the TSC of each CPU that starts with the boot CPU's, before the CPU runs threads.
//!
//! The CPUs take turns, in the order that the boot CPU sets. The other CPUs halt until their turn, so only two CPUs
//! exchange readings at a time, and no CPU spins. A CPU whose counter is off corrects it by `IA32_TSC_ADJUST`; without
//! that register the boot CPU warns. The counter of an offline CPU runs on, and is not measured again.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};

use params::registry::FAULT_TSC_OFFSET;
use timebase::offset::{Bounds, Exchange, Step, next_step};
use x86_64::instructions::interrupts;
use x86_64::registers::model_specific::Msr;

use super::percpu::{MAX_CPUS, PerCpu};
use super::{apic, cpu, tsc, vector};
use crate::console::warning;

/// Exchanges of one measurement, of which the narrowest counts. They take 4 us while both CPUs run.
const EXCHANGES: u64 = 16;
/// Time after which no further exchange begins. The two vCPUs do not run at the same time then, and each exchange would
/// take as long as the host runs other threads.
const ENOUGH_NS: u64 = 50_000;
/// Time for all turns together: a fixed part, and [`BUDGET_NS_PER_CPU`] for each CPU. A turn takes 10 us or less on
/// hardware, 100 to 400 us in an emulator, and milliseconds on a busy host. Each turn gets half of the time that is left,
/// so a slow CPU does not take the turns of others.
const BUDGET_NS: u64 = 20_000_000;
const BUDGET_NS_PER_CPU: u64 = 200_000;
/// Most polls of the boot CPU in one turn, whatever its TSC says.
const MAX_POLLS: u64 = 1 << 30;
/// Offsets up to this size are corrected without a warning: no message that carries a time between CPUs is faster.
const NEGLIGIBLE_NS: u64 = 200;
/// Ticks by which `fault.tsc_offset` advances a TSC: more than any round trip takes.
const FAULT_TICKS: i64 = 1 << 36;

const MSR_TSC_ADJUST: u32 = 0x3b;

/// A cache line of its writer: the boot CPU or the CPU whose turn it is.
#[repr(align(128))]
struct Line<T>(T);

/// The boot CPU's side of an exchange.
struct Reply {
    /// Number of the CPU whose turn it is. The turns of CPUs below are over.
    turn: AtomicU32,
    /// The request that is answered.
    request: AtomicU64,
    /// The boot CPU's TSC when it answered.
    ticks: AtomicU64,
    /// The boot CPU's `IA32_TSC_ADJUST`.
    adjust: AtomicI64,
}

/// The side of the CPU whose turn it is.
struct Request {
    /// A unique number, with the CPU's number in its high half.
    number: AtomicU64,
}

/// The outcome of a CPU's turn, which that CPU publishes.
struct SharedOutcome {
    offset: AtomicI64,
    corrected: AtomicI64,
    round_trip: AtomicU64,
    /// Stored last.
    is_done: AtomicBool,
}

static OUTCOMES: [SharedOutcome; MAX_CPUS] = [const {
    SharedOutcome {
        offset: AtomicI64::new(0),
        corrected: AtomicI64::new(0),
        round_trip: AtomicU64::new(0),
        is_done: AtomicBool::new(false),
    }
}; MAX_CPUS];

static REPLY: Line<Reply> = Line(Reply {
    turn: AtomicU32::new(0),
    request: AtomicU64::new(0),
    ticks: AtomicU64::new(0),
    adjust: AtomicI64::new(0),
});
static REQUEST: Line<Request> = Line(Request { number: AtomicU64::new(0) });

/// Returns this CPU's `IA32_TSC_ADJUST`, if it has the register.
fn adjust() -> Option<i64> {
    // SAFETY: CPUID says that the CPU has the register.
    cpu::features().tsc_adjust.then(|| unsafe { Msr::new(MSR_TSC_ADJUST).read() } as i64)
}

fn set_adjust(value: i64) {
    // SAFETY: only called where `adjust` found the register. This CPU's clock jumps before it runs code that reads it.
    unsafe { Msr::new(MSR_TSC_ADJUST).write(value as u64) };
}

/// The values of a [`SharedOutcome`].
struct Outcome {
    /// Ticks by which the boot CPU's counter stays ahead.
    offset: i64,
    /// Ticks by which this CPU's counter was corrected.
    corrected: i64,
    round_trip: u64,
}

/// Waits for this CPU's turn and measures its TSC. Called on a CPU that starts, with interrupts off and its tables and APIC
/// in use. Interrupts may arrive while the CPU waits (invariants 1 and 21), but only pings are sent.
pub fn join(this: &PerCpu) {
    let number = this.id().index() as u32;
    let has_turn = || REPLY.0.turn.load(SeqCst) >= number;
    while !has_turn() {
        // An interrupt that arrives after the check wakes the CPU: `sti` enables interrupts only with the halt.
        interrupts::enable_and_hlt();
        interrupts::disable();
    }
    if let Some(outcome) = measure_and_adjust(number) {
        let shared = &OUTCOMES[this.id().index()];
        shared.offset.store(outcome.offset, SeqCst);
        shared.corrected.store(outcome.corrected, SeqCst);
        shared.round_trip.store(outcome.round_trip, SeqCst);
        shared.is_done.store(true, SeqCst);
    }
}

/// Measures this CPU's TSC and adjusts it until it agrees with the boot CPU's; `None` if the turn ends first. Reverts an
/// adjustment that does not help or was not checked.
fn measure_and_adjust(number: u32) -> Option<Outcome> {
    let other_adjust = adjust().map(|_| REPLY.0.adjust.load(SeqCst));
    let shift = inject_fault(number);
    let initial_adjust = adjust();
    let mut requests = u64::from(number) << 32;
    let first = measure(number, &mut requests, shift)?;
    let (mut bounds, mut adjustments, mut own_adjust) = (first, 0, initial_adjust);
    while let Step::Adjust(value) = next_step(bounds, adjustments, own_adjust, other_adjust) {
        set_adjust(value);
        own_adjust = Some(value);
        adjustments += 1;
        let Some(checked) = measure(number, &mut requests, shift) else {
            initial_adjust.inspect(|value| set_adjust(*value));
            return None;
        };
        bounds = checked;
    }
    let agrees = bounds.certain() == 0;
    if let Some(value) = initial_adjust.filter(|_| !agrees) {
        set_adjust(value);
    }
    let corrected = own_adjust.unwrap_or(0).wrapping_sub(initial_adjust.unwrap_or(0));
    let (offset, corrected) = if agrees { (0, corrected) } else { (first.certain(), 0) };
    Some(Outcome { offset, corrected, round_trip: bounds.width() })
}

/// Advances the counter if `fault.tsc_offset` names this CPU. Returns the ticks to add to its readings where the counter
/// cannot be set.
fn inject_fault(number: u32) -> i64 {
    match (FAULT_TSC_OFFSET.get() == Some(u64::from(number)), adjust()) {
        (false, _) => 0,
        (true, None) => FAULT_TICKS,
        (true, Some(adjust)) => {
            let before = tsc::ticks();
            set_adjust(adjust.wrapping_add(FAULT_TICKS));
            if tsc::ticks().wrapping_sub(before) >= FAULT_TICKS as u64 {
                return 0;
            }
            // Some emulators have a register that does nothing.
            set_adjust(adjust);
            FAULT_TICKS
        }
    }
}

/// Exchanges readings with the boot CPU; `None` if the turn ended before the first.
fn measure(number: u32, requests: &mut u64, shift: i64) -> Option<Bounds> {
    let mut best: Option<Bounds> = None;
    let start = tsc::ticks();
    for _ in 0..EXCHANGES {
        if best.is_some() && tsc::ticks_to_ns(tsc::ticks().wrapping_sub(start)) > ENOUGH_NS {
            break;
        }
        if REPLY.0.turn.load(SeqCst) != number {
            return best;
        }
        *requests += 1;
        let before = tsc::ticks_in_order();
        REQUEST.0.number.store(*requests, SeqCst);
        while REPLY.0.request.load(SeqCst) != *requests {
            if REPLY.0.turn.load(SeqCst) != number {
                return best;
            }
            cpu::relax();
        }
        let after = tsc::ticks_in_order();
        let other = REPLY.0.ticks.load(SeqCst);
        let [before, after] = [before, after].map(|ticks| ticks.wrapping_add_signed(shift));
        let Some(bounds) = Bounds::of(Exchange { before, other, after }) else { continue };
        best = Some(best.map_or(bounds, |best| best.narrower(bounds)));
    }
    best
}

/// Gives each of `cpus`, in the order of their numbers, its turn, and logs the results. Called on the boot CPU.
pub fn serve_all(cpus: impl Iterator<Item = &'static PerCpu>) {
    REPLY.0.adjust.store(adjust().unwrap_or(0), SeqCst);
    let start_ns = tsc::now_ns();
    let mut summary = Summary::default();
    let mut budget_ns = BUDGET_NS;
    for cpu in cpus {
        budget_ns += BUDGET_NS_PER_CPU;
        let left_ns = budget_ns.saturating_sub(tsc::since_ns(start_ns));
        let number = cpu.id().index() as u32;
        REPLY.0.turn.store(number, SeqCst);
        apic::local().send_ipi(cpu.apic_id(), vector::PING);
        let is_faulty = FAULT_TSC_OFFSET.get() == Some(number.into());
        match serve(number, if is_faulty { u64::MAX } else { left_ns / 2 }) {
            Some(outcome) => summary.add(cpu, &outcome),
            None => summary.unmeasured += 1,
        }
    }
    REPLY.0.turn.store(u32::MAX, SeqCst);
    summary.log(tsc::since_ns(start_ns));
}

/// Answers the requests of CPU `number` until the CPU is done or its time is over.
fn serve(number: u32, limit_ns: u64) -> Option<Outcome> {
    let start_ns = tsc::now_ns();
    let shared = &OUTCOMES[number as usize];
    let mut answered = REPLY.0.request.load(SeqCst);
    for _ in 0..MAX_POLLS {
        let request = REQUEST.0.number.load(SeqCst);
        // Ignores a last request of a CPU whose turn is over.
        if request != answered && request >> 32 == u64::from(number) {
            REPLY.0.ticks.store(tsc::ticks_in_order(), SeqCst);
            REPLY.0.request.store(request, SeqCst);
            answered = request;
        } else if shared.is_done.load(SeqCst) {
            return Some(Outcome {
                offset: shared.offset.load(SeqCst),
                corrected: shared.corrected.load(SeqCst),
                round_trip: shared.round_trip.load(SeqCst),
            });
        } else if tsc::since_ns(start_ns) > limit_ns {
            return None;
        }
        cpu::relax();
    }
    None
}

/// The outcomes of all turns.
#[derive(Default)]
struct Summary {
    measured: u32,
    unmeasured: u32,
    widest_round_trip: u64,
    corrected: OffCpus,
    uncorrected: OffCpus,
}

/// The CPUs whose counters were off, and the worst of them.
#[derive(Default)]
struct OffCpus {
    cpus: u32,
    worst_cpu: usize,
    worst_ticks: i64,
}

impl OffCpus {
    fn add(&mut self, cpu: &PerCpu, ticks: i64) {
        if tsc::ticks_to_ns(ticks.unsigned_abs()) > NEGLIGIBLE_NS {
            self.cpus += 1;
            if ticks.unsigned_abs() > self.worst_ticks.unsigned_abs() {
                (self.worst_cpu, self.worst_ticks) = (cpu.id().index(), ticks);
            }
        }
    }

    fn ns(&self) -> u64 {
        tsc::ticks_to_ns(self.worst_ticks.unsigned_abs())
    }
}

impl Summary {
    fn add(&mut self, cpu: &PerCpu, outcome: &Outcome) {
        self.measured += 1;
        self.widest_round_trip = self.widest_round_trip.max(outcome.round_trip);
        // Ticks that were added are ticks that the counter was behind.
        self.corrected.add(cpu, outcome.corrected);
        self.uncorrected.add(cpu, outcome.offset);
    }

    fn log(&self, took_ns: u64) {
        log::debug!(
            "tsc: {} cpus against the boot cpu in {} us, round trips up to {} ns; {} had no time",
            self.measured,
            took_ns / 1000,
            tsc::ticks_to_ns(self.widest_round_trip),
            self.unmeasured
        );
        let order = |ticks: i64| if ticks > 0 { "behind" } else { "ahead of" };
        let Self { corrected, uncorrected, .. } = self;
        if corrected.cpus > 0 {
            log::info!(
                "tsc: {} cpus were off and are corrected, cpu {} most, {} ns {} the boot cpu",
                corrected.cpus,
                corrected.worst_cpu,
                corrected.ns(),
                order(corrected.worst_ticks)
            );
        }
        if uncorrected.cpus > 0 {
            warning(format_args!(
                "tsc: {} cpus are off and cannot be corrected, cpu {} most, {} ns {} the boot cpu; times are off by as much",
                uncorrected.cpus,
                uncorrected.worst_cpu,
                uncorrected.ns(),
                order(uncorrected.worst_ticks)
            ));
        }
    }
}
