//! Stacks with an unmapped page (and more) below: an overflow faults at once.
//!
//! Each stack has a slot of address space; its pages are at the slot's top and
//! the rest is never mapped. Stacks of ended threads are kept and reused, so no
//! mapping ever goes away and no CPU has to flush its TLB.
//!
//! What threads run on is cleared first. Not only for what somebody may have left there: an emulator that translates
//! code keeps watch over each page that it once found code in, until all of that is overwritten, and every store to
//! such a page takes it about a microsecond. The firmware's code lies about in free memory, and a thread whose stack
//! was there took 100 us more for each time that it woke another one or was woken.

use alloc::vec::Vec;
use core::mem::ManuallyDrop;

use frames::{PAGE_SIZE, Pfn, order_for_pages};

use super::{permanent, space, zero};
use crate::arch::lock_class::LockClass;
use crate::arch::paging::{Rights, STACKS_BASE};
use crate::arch::spin_lock::IrqSpinLock;

/// Pages of a thread's stack.
pub const THREAD_STACK_PAGES: u64 = 16;
/// Pages of the stack of a thread that runs jobs on more than 128 threads: a
/// job keeps its tables on its caller's stack.
const LARGE_STACK_PAGES: u64 = 64;
/// Pages of a stack for double fault, NMI or machine check: enough for the
/// panic path.
const INTERRUPT_STACK_PAGES: u64 = 4;
/// Address space of each stack.
const SLOT_BYTES: u64 = 512 << 10;
/// Slots in the part of the address space that is set aside.
const MAX_SLOTS: u64 = 1 << 20;

struct Stacks {
    next_slot: u64,
    /// Thread stacks to be used again, by [`StackSize`].
    spare: [Vec<u64>; 2],
}

static STACKS: IrqSpinLock<Stacks> =
    IrqSpinLock::of(LockClass::STACKS, Stacks { next_slot: 0, spare: [const { Vec::new() }; 2] });

/// How large a thread's stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackSize {
    /// [`THREAD_STACK_PAGES`].
    Usual,
    /// Enough for jobs on any number of threads.
    Large,
}

impl StackSize {
    const fn pages(self) -> u64 {
        match self {
            Self::Usual => THREAD_STACK_PAGES,
            Self::Large => LARGE_STACK_PAGES,
        }
    }
}

/// A thread's stack. Dropped, it waits for the next thread.
#[derive(Debug)]
pub struct Stack {
    top: u64,
    size: StackSize,
}

impl Stack {
    /// A stack of `size`.
    pub fn new(size: StackSize) -> Option<Self> {
        let spare = STACKS.lock().spare[size as usize].pop();
        spare.map(|top| Self { top, size }).or_else(|| Self::new_unused(size))
    }

    /// As [`new`](Self::new), one that no thread ran on before.
    pub fn new_unused(size: StackSize) -> Option<Self> {
        // SAFETY: the caller of `prepare` has just allocated the frames (invariant 12), as many as are cleared.
        let clear = |frames| unsafe { zero::zero_frames(frames, size.pages()) };
        Some(Self { top: map_new(size.pages(), clear)?, size })
    }

    /// Its lowest address.
    pub fn bottom(&self) -> u64 {
        self.top - self.size.pages() * PAGE_SIZE
    }

    /// One past its highest address; 16-aligned.
    pub fn top(&self) -> u64 {
        self.top
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Room was made when the stack was: this cannot allocate.
        STACKS.lock().spare[self.size as usize].push(self.top);
    }
}

/// A stack of [`THREAD_STACK_PAGES`] that is never given back; returns its top.
pub fn new_permanent() -> Option<u64> {
    Stack::new_unused(StackSize::Usual).map(|stack| ManuallyDrop::new(stack).top)
}

/// A stack for double fault, NMI or machine check, which is never given back; returns its top. Hardly ever run on, it is
/// left as it is.
pub fn new_for_interrupts() -> Option<u64> {
    map_new(INTERRUPT_STACK_PAGES, |_| ())
}

/// A new stack of `len_pages`, whose frames `prepare` is given before they are mapped; returns its top.
fn map_new(len_pages: u64, prepare: impl FnOnce(Pfn)) -> Option<u64> {
    let order = order_for_pages(len_pages)?;
    let slot = {
        let mut stacks = STACKS.lock();
        let slot = stacks.next_slot;
        if slot == MAX_SLOTS {
            return None;
        }
        // Room for every stack there is, so that dropping one never allocates.
        for spare in &mut stacks.spare {
            let room = (slot + 1) as usize - spare.len();
            spare.try_reserve(room).ok()?;
        }
        stacks.next_slot += 1;
        slot
    };
    let frames = permanent::alloc(order)?;
    prepare(frames);
    let len_bytes = len_pages * PAGE_SIZE;
    let top = STACKS_BASE + (slot + 1) * SLOT_BYTES;
    let mapped = space::with_tables(|tables| {
        tables.map(top - len_bytes, frames.address(), len_bytes, Rights::Data, &mut permanent::alloc_table)
    });
    if mapped.is_err() {
        permanent::undo_alloc(frames, order);
        return None;
    }
    Some(top)
}

/// Whether `address`, which faulted, is below a stack: an overflow.
pub fn is_below_a_stack(address: u64) -> bool {
    (STACKS_BASE..STACKS_BASE + MAX_SLOTS * SLOT_BYTES).contains(&address)
}
