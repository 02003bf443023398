//! Clearing memory: pages, huge pages, and extents of any length.
//!
//! The fastest instruction differs from machine to machine by more than ten
//! times, and with the length of the extent. It is measured at boot
//! ([`zero_calibration`](super::zero_calibration)).
//!
//! Clearing can be interrupted at any instruction, so its thread can be
//! preempted however long the extent is.

use core::sync::atomic::{AtomicU8, Ordering::SeqCst};

use frames::{PAGE_SIZE, Pfn, poison::POISON};
use params::registry::ZERO_METHOD;

use super::mem_map;
use crate::arch::clear::{self, ClearMethod};
use crate::console::warning;

/// Lengths of extents that have a method of their own: one page, some pages, and
/// extents that do not fit into near caches.
pub(super) const EXTENT_PAGES: [u64; EXTENT_CLASSES] = [1, 16, 128];
pub(super) const EXTENT_CLASSES: usize = 3;

/// The method of each class of extents. `rep stosq` until measured: every CPU
/// has it and none is very slow at it.
static CHOSEN: [AtomicU8; EXTENT_CLASSES] =
    [const { AtomicU8::new(ClearMethod::Stosq as u8) }; EXTENT_CLASSES];

/// Returns the method in use for extents of `len_pages`.
pub fn method(len_pages: u64) -> ClearMethod {
    // The nearest of the measured lengths, by ratio.
    let class = if len_pages <= 4 {
        0
    } else if len_pages <= 64 {
        1
    } else {
        2
    };
    ClearMethod::ALL[usize::from(CHOSEN[class].load(SeqCst))]
}

/// Takes a method into use for a class of extents. The CPU must have it.
pub(super) fn choose(class: usize, method: ClearMethod) {
    CHOSEN[class].store(method as u8, SeqCst);
}

/// Takes the method that `zero.method` names into use, if this CPU has it. No
/// other method is executed from then on.
pub fn apply_parameter() {
    if let Some(wanted) = wanted_by_parameter() {
        (0..EXTENT_CLASSES).for_each(|class| choose(class, wanted));
    } else if ZERO_METHOD.get_index() != 0 {
        warning(format_args!(
            "zero.method: {} is not there, or cpu.disable rules it out; the fastest other one is used",
            ZERO_METHOD.get()
        ));
    }
}

/// Returns the method that `zero.method` names; `None` when it names none that
/// this CPU may use.
pub(super) fn wanted_by_parameter() -> Option<ClearMethod> {
    // Choice 0 is `auto`.
    let index = ZERO_METHOD.get_index().checked_sub(1)?;
    Some(ClearMethod::ALL[index]).filter(|method| method.is_available())
}

/// Clears `len_pages` page frames from `first` on: a page, a huge page, or any
/// extent.
///
/// # Safety
/// The frames are the caller's alone (invariant 12).
pub unsafe fn zero_frames(first: Pfn, len_pages: u64) {
    // SAFETY:
    // 1. The frames are the caller's alone, by its promise.
    // 2. All memory is in the physical map (invariant 11), and frames are page-aligned.
    // 3. `method` returns only methods that this CPU has.
    unsafe { clear::clear(method(len_pages), mem_map::virt(first), (len_pages * PAGE_SIZE) as usize) }
}

/// Clears extents, each a first page frame and a number of frames. Neighbours
/// are cleared together: long extents are cleared faster.
///
/// # Safety
/// As for [`zero_frames`], for each.
pub unsafe fn zero_extents(extents: impl IntoIterator<Item = (Pfn, u64)>) {
    let mut run: Option<(Pfn, u64)> = None;
    for (first, len_pages) in extents {
        run = match run {
            Some((start, len)) if start + len == first => Some((start, len + len_pages)),
            Some((start, len)) => {
                // SAFETY: the run is made of extents that the caller owns.
                unsafe { zero_frames(start, len) };
                Some((first, len_pages))
            }
            None => Some((first, len_pages)),
        };
    }
    if let Some((start, len)) = run {
        // SAFETY: as above.
        unsafe { zero_frames(start, len) };
    }
}

/// Writes a pattern over page frames, so that clearing them can be proved.
///
/// # Safety
/// As for [`zero_frames`].
pub unsafe fn poison_frames(first: Pfn, len_pages: u64) {
    // SAFETY: as for `zero_frames`.
    unsafe { clear::fill(mem_map::virt(first), (len_pages * PAGE_SIZE) as usize, POISON) }
}

/// Returns whether every byte of the page frames is zero.
///
/// # Safety
/// As for [`zero_frames`].
pub unsafe fn is_zero(first: Pfn, len_pages: u64) -> bool {
    let words = (len_pages * PAGE_SIZE) as usize / size_of::<u64>();
    // SAFETY: the caller owns the frames, so no other thread writes them meanwhile; they are mapped and aligned.
    let words = unsafe { core::slice::from_raw_parts(mem_map::virt(first).cast::<u64>(), words) };
    // Whole lines at a time: a branch for each word would take most of the time.
    words.chunks_exact(16).all(|line| line.iter().fold(0, |all, word| all | word) == 0)
}
