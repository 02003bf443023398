//! Stacks with an unmapped page (and more) below: an overflow faults at once.
//!
//! Each stack has a slot of address space. Its pages are at the top of the slot;
//! the rest is never mapped. Stacks of ended threads are reused, so no mapping is
//! ever removed and no CPU has to flush its TLB.
//!
//! Thread stacks are cleared first, and not only of old data. An emulator that translates code watches each page in which
//! it has found code, until all of the code is overwritten; a store to such a page takes about a microsecond. Free memory
//! holds remains of the firmware's code: a thread whose stack was there took 100 us more for each wake-up.

use alloc::vec::Vec;
use core::mem::ManuallyDrop;

use frames::{PAGE_SIZE, Pfn, order_for_pages};

use super::{permanent, space, zero};
use crate::arch::lock_class::LockClass;
use crate::arch::paging::{Rights, STACKS_BASE};
use crate::arch::spin_lock::IrqSpinLock;

/// Pages of a thread's stack.
pub const THREAD_STACK_PAGES: u64 = 16;
/// Pages of a stack for double fault, NMI or machine check: enough for the
/// panic path.
const INTERRUPT_STACK_PAGES: u64 = 4;
/// Address space of each stack.
const SLOT_BYTES: u64 = 512 << 10;
/// Slots in the part of the address space that is reserved for stacks.
const MAX_SLOTS: u64 = 1 << 20;

struct Stacks {
    next_slot: u64,
    /// Thread stacks to be reused.
    spare: Vec<u64>,
}

static STACKS: IrqSpinLock<Stacks> =
    IrqSpinLock::of(LockClass::STACKS, Stacks { next_slot: 0, spare: Vec::new() });

/// A thread's stack. Dropped, it is reused.
#[derive(Debug)]
pub struct Stack {
    top: u64,
}

impl Stack {
    /// Returns a stack of [`THREAD_STACK_PAGES`]: a used one, else a new one.
    pub fn new() -> Option<Self> {
        let spare = STACKS.lock().spare.pop();
        spare.map(|top| Self { top }).or_else(Self::new_unused)
    }

    /// Returns a stack that no thread has used.
    pub fn new_unused() -> Option<Self> {
        // SAFETY: the caller of `prepare` has just allocated the frames (invariant 12), as many as are cleared.
        let clear = |frames| unsafe { zero::zero_frames(frames, THREAD_STACK_PAGES) };
        Some(Self { top: map_new(THREAD_STACK_PAGES, clear)? })
    }

    /// Returns the lowest address of the stack.
    pub fn bottom(&self) -> u64 {
        self.top - THREAD_STACK_PAGES * PAGE_SIZE
    }

    /// Returns one past the highest address of the stack; 16-aligned.
    pub fn top(&self) -> u64 {
        self.top
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // `map_new` has reserved the capacity: this cannot allocate.
        STACKS.lock().spare.push(self.top);
    }
}

/// Makes a permanent stack of [`THREAD_STACK_PAGES`]; returns its top.
pub fn new_permanent() -> Option<u64> {
    Stack::new_unused().map(|stack| ManuallyDrop::new(stack).top)
}

/// Makes a permanent stack for double fault, NMI or machine check; returns its top. It is hardly ever used, so it is not
/// cleared.
pub fn new_for_interrupts() -> Option<u64> {
    map_new(INTERRUPT_STACK_PAGES, |_| ())
}

/// Makes a stack of `len_pages`; returns its top. Calls `prepare` with its frames before they are mapped.
fn map_new(len_pages: u64, prepare: impl FnOnce(Pfn)) -> Option<u64> {
    let order = order_for_pages(len_pages)?;
    let slot = {
        let mut stacks = STACKS.lock();
        let slot = stacks.next_slot;
        if slot == MAX_SLOTS {
            return None;
        }
        // Reserve capacity for every stack, so that a drop never allocates.
        let room = (slot + 1) as usize - stacks.spare.len();
        stacks.spare.try_reserve(room).ok()?;
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

/// Returns whether `address`, which faulted, is below a stack: an overflow.
pub fn is_below_a_stack(address: u64) -> bool {
    (STACKS_BASE..STACKS_BASE + MAX_SLOTS * SLOT_BYTES).contains(&address)
}
