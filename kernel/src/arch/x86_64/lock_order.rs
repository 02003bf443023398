//! Who holds which spin lock, and whether it may take the next one: in debug
//! builds every [`IrqSpinLock`](super::spin_lock::IrqSpinLock) asks here. The order itself is
//! learnt and judged by [`lockdep`]; here is what each CPU holds.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use lockdep::{Graph, Held, HeldLocks, Kind, LockClassId, Place, Violation};
use x86_64::instructions::interrupts;

use super::irq::IrqGuard;
use super::percpu::{self, MAX_CPUS};

static GRAPH: Graph = Graph::new();
/// Off from the first panic on: it takes over locks whose holders were stopped.
static IS_WATCHING: AtomicBool = AtomicBool::new(true);

/// What one CPU holds.
struct CpuLocks(UnsafeCell<HeldLocks>);

// SAFETY: each is touched by its own CPU alone, with interrupts off (`with_held`).
unsafe impl Sync for CpuLocks {}

static HELD: [CpuLocks; MAX_CPUS] = [const { CpuLocks(UnsafeCell::new(HeldLocks::new())) }; MAX_CPUS];

/// Applies `what` to the running CPU's locks.
fn with_held<R>(what: impl FnOnce(&mut HeldLocks) -> R) -> R {
    let _irq = IrqGuard::new();
    let held = HELD[percpu::this_cpu().id().index()].0.get();
    // SAFETY:
    // 1. Only the running CPU refers to its own entry, and interrupts are off: nothing else runs here meanwhile.
    // 2. `what` comes from this module and does not come back here: the reference is the only one.
    unsafe { what(&mut *held) }
}

/// What the validator keeps with each lock.
#[derive(Debug)]
pub struct SpinLockDebug {
    kind: Kind,
    /// The class of `kind` plus 1, once it is known.
    class: AtomicU32,
    /// The CPU that holds the lock plus 1; 0: nobody does.
    owner: AtomicU32,
}

impl SpinLockDebug {
    /// Of an open lock.
    pub const fn new(kind: Kind) -> Self {
        Self { kind, class: AtomicU32::new(0), owner: AtomicU32::new(0) }
    }

    fn class(&self) -> LockClassId {
        let known = (self.class.load(SeqCst) as usize).checked_sub(1).and_then(LockClassId::from_index);
        known.unwrap_or_else(|| {
            let class = class_of(self.kind);
            self.class.store(class.index() as u32 + 1, SeqCst);
            class
        })
    }

    fn id(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    /// The lock is about to be waited for, at `place`; interrupts are off.
    ///
    /// # Panics
    /// When it must not be taken, with what is held.
    #[track_caller]
    pub fn before_lock(&self, place: Place) {
        if is_watching() {
            let class = self.class();
            refuse(with_held(|held| GRAPH.check(held, class, self.id(), place)));
        }
    }

    /// The lock was taken at `place`; interrupts are off.
    pub fn after_lock(&self, place: Place) {
        if !is_watching() {
            return;
        }
        let cpu = percpu::this_cpu().id();
        self.owner.store(cpu.index() as u32 + 1, SeqCst);
        let entry = Held { class: self.class(), lock: self.id(), taken_at: place };
        if with_held(|held| held.push(entry)).is_err() {
            panic!("invariant 9: cpu {cpu} holds more than {} locks, now {}", lockdep::MAX_HELD, self.kind);
        }
    }

    /// The lock is about to be opened.
    ///
    /// # Panics
    /// By another CPU than the one that took it, or with interrupts on.
    pub fn before_unlock(&self) {
        if !is_watching() {
            return;
        }
        let name = self.kind;
        let here = percpu::this_cpu().id();
        let taken = with_held(|held| held.remove(self.id()));
        let owner = self.owner.swap(0, SeqCst);
        let Some(taken) = taken else {
            panic!(
                "invariant 24: {name} is released on cpu {here}, but was taken on cpu {}",
                owner.wrapping_sub(1)
            )
        };
        assert!(
            !interrupts::are_enabled(),
            "invariant 7: interrupts are on while cpu {here} holds {name}, taken at {}",
            taken.taken_at
        );
    }
}

/// The class of locks of this kind.
pub fn class_of(kind: Kind) -> LockClassId {
    GRAPH.class_of(kind).unwrap_or_else(|| {
        panic!(
            "more than {} kinds of lock, now {kind}: make lockdep::MAX_CLASSES larger",
            lockdep::MAX_CLASSES
        )
    })
}

/// Judges the acquisition of a lock by who holds `held`.
///
/// # Panics
/// When it must not be taken.
#[track_caller]
pub fn check(held: &HeldLocks, class: LockClassId, lock: usize, place: Place) {
    refuse(GRAPH.check(held, class, lock, place));
}

#[track_caller]
fn refuse(judgement: Result<(), Violation<'_>>) {
    if let Err(violation) = judgement {
        panic!("invariant 9: {violation}");
    }
}

/// What to call the locks of `class`.
pub fn name_of(class: LockClassId) -> Kind {
    GRAPH.kind(class)
}

/// Panics if this CPU holds a spin lock; `doing` is what must not be done then, under invariant number `invariant`.
#[track_caller]
pub fn assert_none_held(invariant: u32, doing: &str) {
    if !is_watching() {
        return;
    }
    if let Some(held) = with_held(|held| held.last().copied()) {
        let (name, cpu) = (name_of(held.class), percpu::this_cpu().id());
        panic!("invariant {invariant}: {doing} while cpu {cpu} holds {name}, taken at {}", held.taken_at);
    }
}

fn is_watching() -> bool {
    IS_WATCHING.load(SeqCst)
}

/// From here on nothing is checked any more: the machine ends.
pub fn stop_watching() {
    IS_WATCHING.store(false, SeqCst);
}
