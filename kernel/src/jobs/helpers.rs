//! The helpers of ktask, as work items of the worker pools.
//!
//! There is a fixed number of slots, each an item with room for one task. Starting a helper takes a free slot and
//! allocates nothing. A helper's number consists of its slot and the generation of that slot, so it is never reused.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ktask::{HelperId, HelperTask, Placement};
use runqueue::Nice;
use spin::Once;
use workpool::Generation;

use super::kernel::Kernel;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu;
use crate::arch::spin_lock::IrqSpinLock;
use crate::sched;
use crate::sched::pool::{self, Item, Work, WorkAttrs};

/// Helpers of each CPU that can exist at a time, running or queued; in total at least [`MIN_SLOTS`].
const SLOTS_PER_CPU: usize = 4;
const MIN_SLOTS: usize = 32;
/// Bits of a helper's number that are the slot; the generation is above them.
const SLOT_BITS: u32 = 12;
const _: () = assert!(SLOTS_PER_CPU * percpu::MAX_CPUS <= 1 << SLOT_BITS && MIN_SLOTS <= 1 << SLOT_BITS);

/// A slot for one helper.
struct HelperSlot {
    number: usize,
    work: Work,
    task: IrqSpinLock<Option<HelperTask<Kernel>>>,
}

struct HelperSlots {
    all: Box<[Arc<HelperSlot>]>,
    /// Numbers of the free slots. Never grows beyond its initial capacity.
    free: IrqSpinLock<Vec<usize>>,
}

static SLOTS: Once<HelperSlots> = Once::new();

/// Creates the slots. Called once, after the CPUs were started.
pub fn init() {
    let count = (SLOTS_PER_CPU * percpu::cpu_count()).max(MIN_SLOTS);
    let slot = |number| {
        let task = IrqSpinLock::of(LockClass::HELPER_SLOT, None);
        Arc::new(HelperSlot { number, work: Work::new(), task })
    };
    // The slot freed last is used next, because it is in the CPU caches. At first that is slot 0.
    SLOTS.call_once(|| HelperSlots {
        all: (0..count).map(slot).collect(),
        free: IrqSpinLock::of(LockClass::HELPER_SLOT, (0..count).rev().collect()),
    });
}

/// Returns the number of helpers that are running or queued.
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

/// Returns the slot and the generation of `helper`.
fn slot_and_generation(helper: HelperId) -> Option<(&'static Arc<HelperSlot>, Generation)> {
    let slot = SLOTS.get()?.all.get(helper.0 as usize & ((1 << SLOT_BITS) - 1))?;
    Some((slot, Generation::new(helper.0 >> SLOT_BITS)))
}

/// Submits `task` to a pool. It waits for a worker at the calling thread's level, and runs with the lowest weight, on the
/// CPUs that the calling thread may use. Returns `task` if there are no pools or no free slot.
pub fn start(task: HelperTask<Kernel>, placement: Placement) -> Result<HelperId, HelperTask<Kernel>> {
    let caller = sched::current();
    let (allowed, level) = (caller.allowed(), caller.level().unwrap_or(Nice::MAX));
    let pool = match placement.node {
        Some(node) => pool::of_node(node.0 as usize, &allowed),
        None => pool::unbound(),
    };
    let (Some(slots), Some(pool)) = (SLOTS.get(), pool) else { return Err(task) };
    let Some(number) = slots.free.lock().pop() else { return Err(task) };
    let slot = &slots.all[number];
    *slot.task.lock() = Some(task);
    match pool.submit(slot.clone(), WorkAttrs::new().nice(Nice::MAX).queued_at(level).on(allowed)) {
        Ok(generation) => Ok(HelperId(generation.number() << SLOT_BITS | number as u64)),
        Err(error) => unreachable!("a free slot was submitted: {error}"),
    }
}

/// Cancels a helper that has not begun, and returns its task.
pub fn cancel(helper: HelperId) -> Option<HelperTask<Kernel>> {
    let (slot, generation) = slot_and_generation(helper)?;
    if pool::cancel(&**slot, generation) { slot.take_task() } else { None }
}

/// Makes the calling thread, which waits for `helper`, donate its weight to it.
pub fn donate_weight(helper: HelperId) {
    if let Some((slot, generation)) = slot_and_generation(helper) {
        pool::donate_weight(slot.clone(), generation);
    }
}
