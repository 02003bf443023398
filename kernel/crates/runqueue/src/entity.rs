//! A thread as its run queue sees it: what it weighs, its clock, and where it stands in the queue.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};

use crate::heap::HeapNode;
use crate::weight::{Nice, Weight};

/// How long a thread may run while others of its weight wait. A power of two: turns end where a clock comes to a multiple.
pub const SLICE_NS: u64 = 1 << 22;
/// How far beyond the end of its slice a thread may have run and still count as having stopped there; the rest counts in
/// its next turn, which is shorter by that. So threads that take whole slices keep their order, whatever the jitter of the
/// timer: a hair less than the others would otherwise be reason enough for another turn before them.
const JITTER_NS: u64 = SLICE_NS / 16;
/// The shortest turn that is worth a switch.
pub const SHORTEST_SLICE_NS: u64 = 1 << 14;
/// The longest run that is charged in full. A timer ends every turn for which others wait after a slice; a run that seems to
/// last many slices was interrupted by the host, which stopped the machine or gave its CPU to somebody else. Charged in
/// full, a minute of that would keep the thread from running for as long.
pub const LONGEST_RUN_NS: u64 = 16 * SLICE_NS;
/// How far ahead of the smallest vruntime a new thread starts: who starts threads all the time gains less by it than who runs on.
const NEWCOMER_DEBIT_NS: u64 = SLICE_NS / 2;

/// Which threads go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchedClass {
    /// Shares the CPU by weight.
    Fair,
    /// Runs when no thread of the fair class wants to.
    Idle,
}

/// What a run queue keeps in each thread.
///
/// Atomics for sharing, Relaxed: `node`, `vruntime_offset_ns` and what the thread was queued with belong
/// to whoever holds the lock of its queue or runs it, or, of a thread that sleeps, to the one who wakes it; the rest are
/// settings that anyone may read, and that count from the thread's next turn on.
#[derive(Debug)]
pub struct Entity {
    /// Key: virtual runtime, without `slice_overrun_ns`.
    pub(crate) node: HeapNode,
    /// Virtual runtime beyond the end of the last slice, see [`JITTER_NS`].
    slice_overrun_ns: AtomicU32,
    /// What is left of the slice.
    slice_left_ns: AtomicU32,
    /// Distance to the minimum vruntime of the queue that the thread left, while it is with no CPU.
    pub(crate) vruntime_offset_ns: AtomicI64,
    /// What had passed for the sleepers of the queue that it left, then.
    pub(crate) sleep_clock_at_detach_ns: AtomicU64,
    own_weight: AtomicU32,
    /// The least that the thread weighs now, because others wait for it; 0: nobody does.
    lent_weight: AtomicU32,
    is_idle_class: AtomicBool,
    /// The settings above have changed, and do not count yet.
    pub(crate) has_changed: AtomicBool,
    /// By which weight the key was reckoned last.
    pub(crate) applied_weight: AtomicU32,
    /// Whose minimum the vruntime is measured from; follows the class when the thread runs or is queued next.
    pub(crate) is_applied_idle: AtomicBool,
}

impl Entity {
    /// Of a new thread of default weight.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            node: HeapNode::new(),
            slice_overrun_ns: AtomicU32::new(0),
            slice_left_ns: AtomicU32::new(SLICE_NS as u32),
            vruntime_offset_ns: AtomicI64::new(NEWCOMER_DEBIT_NS as i64),
            sleep_clock_at_detach_ns: AtomicU64::new(0),
            own_weight: AtomicU32::new(Weight::UNIT.get()),
            lent_weight: AtomicU32::new(0),
            is_idle_class: AtomicBool::new(false),
            has_changed: AtomicBool::new(false),
            applied_weight: AtomicU32::new(Weight::UNIT.get()),
            is_applied_idle: AtomicBool::new(false),
        }
    }

    /// Puts the thread into the fair class with the weight of `nice`.
    pub fn set_nice(&self, nice: Nice) {
        self.own_weight.store(nice.weight().get(), Relaxed);
        self.is_idle_class.store(false, Relaxed);
        self.note_change();
    }

    /// As [`set_nice`](Self::set_nice), if that changes anything; whether it did.
    #[inline]
    pub fn set_nice_if_other(&self, nice: Nice) -> bool {
        let is_other =
            self.own_weight.load(Relaxed) != nice.weight().get() || self.is_idle_class.load(Relaxed);
        if is_other {
            self.set_nice(nice);
        }
        is_other
    }

    /// Puts the thread into the idle class.
    pub fn set_idle_class(&self) {
        self.own_weight.store(Weight::IDLE.get(), Relaxed);
        self.is_idle_class.store(true, Relaxed);
        self.note_change();
    }

    /// Lets the thread run at `level` at least, which others lend it that wait for it; or again at its own.
    pub fn set_donated_level(&self, level: Option<Nice>) {
        self.lent_weight.store(level.map_or(0, |level| level.weight().get()), Relaxed);
        self.note_change();
    }

    /// The level at which the thread runs, with what it is lent; none in the idle class.
    #[must_use]
    pub fn level(&self) -> Option<Nice> {
        let lent = Weight::clamped(self.lent_weight.load(Relaxed));
        // The heavier, which is the smaller number.
        self.nice().into_iter().chain(Nice::of_weight(lent)).min()
    }

    fn note_change(&self) {
        // Release pairs with the Acquire in `FairQueue::apply_settings`: who sees the mark sees the change.
        self.has_changed.store(true, Release);
    }

    /// The thread's weight now, with what was lent to it.
    #[inline]
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight::clamped(self.own_weight.load(Relaxed).max(self.lent_weight.load(Relaxed)))
    }

    /// The nice level last set, whatever others lend; `None` for the idle class.
    #[must_use]
    pub fn nice(&self) -> Option<Nice> {
        if self.is_idle_class.load(Relaxed) {
            return None;
        }
        Nice::of_weight(Weight::clamped(self.own_weight.load(Relaxed)))
    }

    /// The thread's class now: who is lent weight does not idle.
    #[inline]
    #[must_use]
    pub fn class(&self) -> SchedClass {
        let is_idle = self.is_idle_class.load(Relaxed) && self.lent_weight.load(Relaxed) == 0;
        if is_idle { SchedClass::Idle } else { SchedClass::Fair }
    }

    /// Virtual runtime, on the clock of the CPU that it runs or waits on.
    #[must_use]
    pub fn vruntime_ns(&self) -> u64 {
        self.node.key().wrapping_add(self.slice_overrun_ns.load(Relaxed).into())
    }

    /// How long the thread may run before others of its weight have their turn: to the end of the slice of which
    /// it has had a part.
    #[inline(always)]
    #[must_use]
    pub fn slice_left_ns(&self) -> u64 {
        self.slice_left_ns.load(Relaxed).into()
    }

    /// The weight by which the thread's clock goes, and which it counts with in its queue.
    #[inline]
    #[must_use]
    pub fn applied_weight(&self) -> u32 {
        self.applied_weight.load(Relaxed)
    }

    /// Advances the clock by `ran_ns` of real time, at most [`LONGEST_RUN_NS`]; returns where it is then.
    #[inline(always)]
    pub(crate) fn advance(&self, ran_ns: u64) -> u64 {
        let ran_ns = ran_ns.min(LONGEST_RUN_NS);
        let weight = self.applied_weight();
        let is_unit = weight == Weight::UNIT.get();
        let virtual_ns = if is_unit { ran_ns } else { Weight::clamped(weight).virtual_ns(ran_ns) };
        self.set_vruntime(self.vruntime_ns().wrapping_add(virtual_ns), is_unit)
    }

    /// Sets the clock, of a thread that `is_unit`, of unit weight; returns the key then.
    #[inline(always)]
    pub(crate) fn set_vruntime(&self, vruntime_ns: u64, is_unit: bool) -> u64 {
        let beyond_ns = vruntime_ns % SLICE_NS;
        let slice_overrun_ns = if beyond_ns < JITTER_NS { beyond_ns } else { 0 };
        // The slices of others are as long in real time, not on their clocks.
        let slice_left_ns = if is_unit { (SLICE_NS - beyond_ns).max(SHORTEST_SLICE_NS) } else { SLICE_NS };
        let key = vruntime_ns.wrapping_sub(slice_overrun_ns);
        self.slice_overrun_ns.store(slice_overrun_ns as u32, Relaxed);
        self.slice_left_ns.store(slice_left_ns as u32, Relaxed);
        self.node.set_key(key);
        key
    }

    #[inline]
    pub(crate) fn applied_class(&self) -> SchedClass {
        if self.is_applied_idle.load(Relaxed) { SchedClass::Idle } else { SchedClass::Fair }
    }

    #[inline]
    pub(crate) fn set_applied_class(&self, class: SchedClass) {
        self.is_applied_idle.store(class == SchedClass::Idle, Relaxed);
    }
}

impl Default for Entity {
    fn default() -> Self {
        Self::new()
    }
}
