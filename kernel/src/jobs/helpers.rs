//! ktask's helpers as work items of the worker pools.
//!
//! A fixed number of slots, each an item with room for one task: starting a helper takes a free slot, and no
//! memory. A helper's number is its slot and the slot's generation, so it never comes back.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use ktask::{HelperId, HelperTask, Placement};
use runqueue::Nice;
use spin::Once;
use workpool::Generation;

use super::kernel::Kernel;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu;
use crate::arch::spin_lock::IrqSpinLock;
use crate::sched::pool::{self, Item, Work, WorkAttrs};
use crate::sched::{self, Thread};

/// Helpers that there can be at a time, at work or waiting: so many for each CPU, and at least [`LEAST_SLOTS`].
const SLOTS_FOR_EACH_CPU: usize = 4;
const LEAST_SLOTS: usize = 32;
/// Bits of a helper's number that name the slot; the generation is above them.
const SLOT_BITS: u32 = 12;
const _: () =
    assert!(SLOTS_FOR_EACH_CPU * percpu::MAX_CPUS <= 1 << SLOT_BITS && LEAST_SLOTS <= 1 << SLOT_BITS);

/// One helper at a time.
struct HelperSlot {
    number: usize,
    work: Work,
    task: IrqSpinLock<Option<HelperTask<Kernel>>>,
    /// Of the task; in the slot for the search by family.
    family: AtomicU64,
}

struct HelperSlots {
    all: Box<[Arc<HelperSlot>]>,
    /// Numbers of slots without a task; never grows beyond the room made at the start.
    free: IrqSpinLock<Vec<usize>>,
}

static SLOTS: Once<HelperSlots> = Once::new();

/// Makes the slots. Once, after the CPUs were started.
pub fn init() {
    let count = (SLOTS_FOR_EACH_CPU * percpu::cpu_count()).max(LEAST_SLOTS);
    let slot = |number| {
        let (task, family) = (IrqSpinLock::of(LockClass::HELPER_SLOT, None), AtomicU64::new(0));
        Arc::new(HelperSlot { number, work: Work::new(), task, family })
    };
    // The first slot is the first to be used, and the last one that was used is the next: it is in the caches.
    SLOTS.call_once(|| HelperSlots {
        all: (0..count).map(slot).collect(),
        free: IrqSpinLock::of(LockClass::HELPER_SLOT, (0..count).rev().collect()),
    });
}

/// Helpers that are at work, or wait for a worker.
pub fn in_use() -> usize {
    SLOTS.get().map_or(0, |slots| slots.all.len() - slots.free.lock().len())
}

impl Item for HelperSlot {
    fn work(&self) -> &Work {
        &self.work
    }

    fn run(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.run();
        }
    }

    fn ended(&self) {
        self.free();
    }
}

impl HelperSlot {
    fn free(&self) {
        if let Some(slots) = SLOTS.get() {
            slots.free.lock().push(self.number);
        }
    }

    fn take_task(&self) -> Option<HelperTask<Kernel>> {
        let task = self.task.lock().take();
        self.free();
        task
    }
}

/// The slot and generation that `helper` names.
fn named(helper: HelperId) -> Option<(&'static Arc<HelperSlot>, Generation)> {
    let slot = SLOTS.get()?.all.get(helper.0 as usize & ((1 << SLOT_BITS) - 1))?;
    Some((slot, Generation::new(helper.0 >> SLOT_BITS)))
}

/// Hands `task` to a worker of the lowest weight, on the CPUs that the calling thread may use; gives it back when
/// there are no pools, or too many helpers already.
pub fn start(task: HelperTask<Kernel>, placement: Placement) -> Result<HelperId, HelperTask<Kernel>> {
    let allowed = sched::current().allowed();
    let pool = match placement.node {
        Some(node) => pool::of_node(node.0 as usize, &allowed),
        None => pool::unbound(),
    };
    let (Some(slots), Some(pool)) = (SLOTS.get(), pool) else { return Err(task) };
    let Some(number) = slots.free.lock().pop() else { return Err(task) };
    let slot = &slots.all[number];
    slot.family.store(task.family(), SeqCst);
    *slot.task.lock() = Some(task);
    match pool.submit(slot.clone(), WorkAttrs::new().nice(Nice::MAX).on(allowed)) {
        Ok(generation) => Ok(HelperId(generation.number() << SLOT_BITS | number as u64)),
        Err(error) => unreachable!("a free slot is submitted: {error}"),
    }
}

/// Takes back a helper that has not begun.
pub fn cancel(helper: HelperId) -> Option<HelperTask<Kernel>> {
    let (slot, generation) = named(helper)?;
    if pool::cancel(&**slot, generation) { slot.take_task() } else { None }
}

/// The slot that `item` is, if it is one.
fn slot_of(item: &dyn Item) -> Option<&HelperSlot> {
    (item as &dyn Any).downcast_ref()
}

/// Takes a helper of `family` that has not begun.
pub fn take_queued(family: u64) -> Option<HelperTask<Kernel>> {
    let is_wanted = |item: &dyn Item| slot_of(item).is_some_and(|slot| slot.family.load(SeqCst) == family);
    pool::all().iter().find_map(|pool| {
        let item = pool.take_queued(is_wanted)?;
        slot_of(&*item)?.take_task()
    })
}

/// The worker that `helper` is at work on.
pub fn worker_of(helper: HelperId) -> Option<Arc<Thread>> {
    let (slot, generation) = named(helper)?;
    pool::worker_of(&**slot, generation)
}
