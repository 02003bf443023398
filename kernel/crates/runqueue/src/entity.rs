//! A thread as its run queue sees it: its weight, its virtual runtime, and its place in the queue.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};

use crate::heap::HeapNode;
use crate::weight::{Nice, Weight};

/// How long a thread may run while others of its weight wait. A power of two: a slice ends when virtual runtime reaches a
/// multiple of it.
pub const SLICE_NS: u64 = 1 << 22;
/// How far beyond the end of its slice a thread may have run and still count as having stopped there. The overrun is
/// deducted from its next slice. So threads that take whole slices keep their order, whatever the jitter of the timer;
/// otherwise running a little less than the others would be reason enough to run again before them.
const JITTER_NS: u64 = SLICE_NS / 16;
/// The shortest slice that is worth a switch.
pub const SHORTEST_SLICE_NS: u64 = 1 << 14;
/// The longest run that is charged in full. A timer ends each slice for which others wait. A run that seems to last many
/// slices was interrupted by the host, which stopped the machine or gave its CPU to another guest. Charged in full, a minute
/// of that would keep the thread from running for as long.
pub const LONGEST_RUN_NS: u64 = 16 * SLICE_NS;
/// How far ahead of the smallest virtual runtime a new thread starts: starting threads all the time gains less than running.
const NEWCOMER_DEBIT_NS: u64 = SLICE_NS / 2;

/// Scheduling class: which threads run first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchedClass {
    /// Shares the CPU by weight.
    Fair,
    /// Runs when no thread of the fair class is runnable.
    Idle,
}

/// What a run queue keeps in each thread.
///
/// Atomics only for sharing, Relaxed. `node`, the other virtual times and the applied settings belong to the holder of the
/// queue's lock, to the CPU that runs the thread, or to the waker of a thread that sleeps. The rest are settings: any thread
/// may read them, and they apply from the thread's next charge on.
#[derive(Debug)]
pub struct Entity {
    /// The key is the virtual runtime without `slice_overrun_ns`.
    pub(crate) node: HeapNode,
    /// Virtual runtime beyond the end of the last slice; see [`JITTER_NS`].
    slice_overrun_ns: AtomicU32,
    /// What is left of the slice.
    slice_left_ns: AtomicU32,
    /// While the thread is detached: its distance to the smallest virtual runtime of the queue that it left.
    pub(crate) vruntime_offset_ns: AtomicI64,
    /// While the thread is detached: what the sleep clock of that queue showed when it left.
    pub(crate) sleep_clock_at_detach_ns: AtomicU64,
    own_weight: AtomicU32,
    /// The least weight of the thread, while others wait for it; 0: no thread does.
    donated_weight: AtomicU32,
    is_idle_class: AtomicBool,
    /// The settings above have changed, and are not applied yet.
    pub(crate) has_changed: AtomicBool,
    /// The weight by which the virtual runtime grows.
    pub(crate) applied_weight: AtomicU32,
    /// Whether the virtual runtime is one of the idle class; follows the class when the thread is charged or queued next.
    pub(crate) is_applied_idle: AtomicBool,
}

impl Entity {
    /// The entity of a new thread of default weight.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            node: HeapNode::new(),
            slice_overrun_ns: AtomicU32::new(0),
            slice_left_ns: AtomicU32::new(SLICE_NS as u32),
            vruntime_offset_ns: AtomicI64::new(NEWCOMER_DEBIT_NS as i64),
            sleep_clock_at_detach_ns: AtomicU64::new(0),
            own_weight: AtomicU32::new(Weight::UNIT.get()),
            donated_weight: AtomicU32::new(0),
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

    /// Does [`set_nice`](Self::set_nice) if that changes anything, and says whether it did.
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

    /// Returns whether the thread receives a level: a thread that is not in the idle class waits for it.
    #[must_use]
    pub fn receives_weight(&self) -> bool {
        // Relaxed: a caller that must not miss a change has a fence.
        self.donated_weight.load(Relaxed) != 0
    }

    /// Lets the thread run at `level` at least, which is the donation of threads that wait for it; with `None`, at its own.
    pub fn set_donated_level(&self, level: Option<Nice>) {
        self.donated_weight.store(level.map_or(0, |level| level.weight().get()), Relaxed);
        self.note_change();
    }

    /// Returns the level at which the thread runs, with donations; `None` in the idle class.
    #[must_use]
    pub fn level(&self) -> Option<Nice> {
        let lent = Weight::clamped(self.donated_weight.load(Relaxed));
        // The heavier, which is the smaller number.
        self.nice().into_iter().chain(Nice::of_weight(lent)).min()
    }

    fn note_change(&self) {
        // Release pairs with the Acquire in `FairQueue::apply_settings`: a CPU that sees the mark sees the change.
        self.has_changed.store(true, Release);
    }

    /// Returns the thread's weight now, with donations.
    #[inline]
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight::clamped(self.own_weight.load(Relaxed).max(self.donated_weight.load(Relaxed)))
    }

    /// Returns the nice level last set, without donations; `None` for the idle class.
    #[must_use]
    pub fn nice(&self) -> Option<Nice> {
        if self.is_idle_class.load(Relaxed) {
            return None;
        }
        Nice::of_weight(Weight::clamped(self.own_weight.load(Relaxed)))
    }

    /// Returns the thread's class now: a donation lifts a thread out of the idle class.
    #[inline]
    #[must_use]
    pub fn class(&self) -> SchedClass {
        let is_idle = self.is_idle_class.load(Relaxed) && self.donated_weight.load(Relaxed) == 0;
        if is_idle { SchedClass::Idle } else { SchedClass::Fair }
    }

    /// Returns the virtual runtime, relative to the queue of the CPU on which the thread runs or is queued.
    #[inline]
    #[must_use]
    pub fn vruntime_ns(&self) -> u64 {
        self.node.key().wrapping_add(self.slice_overrun_ns.load(Relaxed).into())
    }

    /// Returns how long the thread may run before others of its weight: to the end of the slice of which it has had a part.
    #[inline(always)]
    #[must_use]
    pub fn slice_left_ns(&self) -> u64 {
        self.slice_left_ns.load(Relaxed).into()
    }

    /// Returns the weight by which the virtual runtime grows, and that its queue counts.
    #[inline]
    #[must_use]
    pub fn applied_weight(&self) -> u32 {
        self.applied_weight.load(Relaxed)
    }

    /// Advances the virtual runtime by `ran_ns` of real time, at most [`LONGEST_RUN_NS`], and returns the new key.
    #[inline(always)]
    pub(crate) fn advance(&self, ran_ns: u64) -> u64 {
        let ran_ns = ran_ns.min(LONGEST_RUN_NS);
        let weight = self.applied_weight();
        let is_unit = weight == Weight::UNIT.get();
        let virtual_ns = if is_unit { ran_ns } else { Weight::clamped(weight).virtual_ns(ran_ns) };
        self.set_vruntime(self.vruntime_ns().wrapping_add(virtual_ns), is_unit)
    }

    /// Sets the virtual runtime of a thread, of unit weight if `is_unit`, and returns the new key.
    #[inline(always)]
    pub(crate) fn set_vruntime(&self, vruntime_ns: u64, is_unit: bool) -> u64 {
        let beyond_ns = vruntime_ns % SLICE_NS;
        let slice_overrun_ns = if beyond_ns < JITTER_NS { beyond_ns } else { 0 };
        // Slices of threads of other weights are as long in real time, but not in virtual time.
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
