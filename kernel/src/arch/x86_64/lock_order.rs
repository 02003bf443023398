//! Checks the order and the holders of spin locks, for every [`IrqSpinLock`](super::spin_lock::IrqSpinLock) in debug
//! builds. This module keeps the locks that each CPU holds; [`lockdep`] learns and checks the order.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use lockdep::{Graph, Held, HeldLocks, Kind, LockClassId, Place, Violation};
use x86_64::instructions::interrupts;

use super::irq::IrqGuard;
use super::percpu::{self, MAX_CPUS};

static GRAPH: Graph = Graph::new();
/// False from the first panic on, which takes over locks whose holders were stopped.
static IS_ENABLED: AtomicBool = AtomicBool::new(true);

/// The locks held by one CPU.
struct CpuLocks(UnsafeCell<HeldLocks>);

// SAFETY: only its CPU accesses an entry, with interrupts off (`with_held`).
unsafe impl Sync for CpuLocks {}

static HELD: [CpuLocks; MAX_CPUS] = [const { CpuLocks(UnsafeCell::new(HeldLocks::new())) }; MAX_CPUS];

/// Applies `action` to the running CPU's locks.
fn with_held<R>(action: impl FnOnce(&mut HeldLocks) -> R) -> R {
    let _irq = IrqGuard::new();
    let held = HELD[percpu::this_cpu().id().index()].0.get();
    // SAFETY:
    // 1. Only the running CPU accesses its entry, and interrupts are off, so no other code runs here meanwhile.
    // 2. `action` comes from this module and does not call `with_held`, so the reference is the only one.
    unsafe { action(&mut *held) }
}

/// The debug part of a spin lock.
#[derive(Debug)]
pub struct SpinLockDebug {
    kind: Kind,
    /// The class of `kind` plus 1; 0 until it is known.
    class: AtomicU32,
    /// The number of the CPU that holds the lock plus 1; 0 if the lock is free.
    owner: AtomicU32,
}

impl SpinLockDebug {
    /// Returns the debug part of a free lock.
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

    /// Checks an acquisition at `place`, before the wait for the lock. Called with interrupts off.
    ///
    /// # Panics
    /// If the locks that this CPU holds forbid the acquisition.
    #[track_caller]
    pub fn before_lock(&self, place: Place) {
        if is_enabled() {
            let class = self.class();
            refuse(with_held(|held| GRAPH.check(held, class, self.id(), place)));
        }
    }

    /// Records that this CPU took the lock at `place`. Called with interrupts off.
    pub fn after_lock(&self, place: Place) {
        if !is_enabled() {
            return;
        }
        let cpu = percpu::this_cpu().id();
        self.owner.store(cpu.index() as u32 + 1, SeqCst);
        let entry = Held { class: self.class(), lock: self.id(), taken_at: place };
        if with_held(|held| held.push(entry)).is_err() {
            panic!("invariant 9: cpu {cpu} holds more than {} locks, now {}", lockdep::MAX_HELD, self.kind);
        }
    }

    /// Records that the lock is about to be released.
    ///
    /// # Panics
    /// If another CPU took the lock, or interrupts are on.
    pub fn before_unlock(&self) {
        if !is_enabled() {
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

/// Returns the class of locks of this kind.
pub fn class_of(kind: Kind) -> LockClassId {
    GRAPH.class_of(kind).unwrap_or_else(|| {
        panic!(
            "more than {} kinds of lock, now {kind}: make lockdep::MAX_CLASSES larger",
            lockdep::MAX_CLASSES
        )
    })
}

/// Checks an acquisition of `lock` by a holder of `held`.
///
/// # Panics
/// If the order of locks forbids it.
#[track_caller]
pub fn check(held: &HeldLocks, class: LockClassId, lock: usize, place: Place) {
    refuse(GRAPH.check(held, class, lock, place));
}

#[track_caller]
fn refuse(result: Result<(), Violation<'_>>) {
    if let Err(violation) = result {
        panic!("invariant 9: {violation}");
    }
}

/// Returns the name of the locks of `class`.
pub fn name_of(class: LockClassId) -> Kind {
    GRAPH.kind(class)
}

/// Panics if this CPU holds a spin lock. `doing` names the action that invariant number `invariant` forbids then.
#[track_caller]
pub fn assert_none_held(invariant: u32, doing: &str) {
    if !is_enabled() {
        return;
    }
    if let Some(held) = with_held(|held| held.last().copied()) {
        let (name, cpu) = (name_of(held.class), percpu::this_cpu().id());
        panic!("invariant {invariant}: {doing} while cpu {cpu} holds {name}, taken at {}", held.taken_at);
    }
}

fn is_enabled() -> bool {
    IS_ENABLED.load(SeqCst)
}

/// Stops all checks: the machine ends.
pub fn disable() {
    IS_ENABLED.store(false, SeqCst);
}
