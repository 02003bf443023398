//! The zeroing engine: which instruction clears pages fastest is measured at
//! boot, for it differs from machine to machine by more than ten times.

use core::sync::atomic::{AtomicU8, Ordering::SeqCst};

use frames::{PAGE_SIZE, Pfn, order_for_pages};
use params::registry::ZERO_METHOD;
use protocol::record::Record;

use super::pages;
use crate::arch::clear::{self, ClearMethod};
use crate::arch::tsc;
use crate::console::{records, warning};

/// Memory that each method clears in the measurement.
const SAMPLE_PAGES: u64 = 128;
/// Timed rounds of each method; the fastest counts.
const ROUNDS: u32 = 3;

/// `rep stosq` until measured: every CPU has it and none is very slow at it.
static CHOSEN: AtomicU8 = AtomicU8::new(ClearMethod::Stosq as u8);

/// The method in use.
pub fn method() -> ClearMethod {
    ClearMethod::ALL[usize::from(CHOSEN.load(SeqCst))]
}

/// Measures all methods on warm memory and chooses the fastest, or the one
/// that `zero.method` names if this CPU has it. Without memory to measure
/// on, the choice stays as it is.
pub fn calibrate() {
    let order = order_for_pages(SAMPLE_PAGES).expect("the sample is no larger than the largest block");
    let Some(sample) = pages::alloc(order) else {
        warning(format_args!("zeroing: no memory to measure on; using {}", method().name()));
        return;
    };
    let bytes = SAMPLE_PAGES * PAGE_SIZE;
    // SAFETY: in both uses, the block was just allocated (invariant 12), is in the physical map (invariant 11) and
    // page-aligned; only available methods are used.
    let clear_sample = |method| unsafe { clear::clear(method, pages::virt(sample), bytes as usize) };
    // The host may back memory at its first touch: not on our time.
    clear_sample(ClearMethod::Stosq);
    let measured = ClearMethod::ALL.map(|method| {
        method.is_available().then(|| {
            let best = (0..ROUNDS).map(|_| {
                let start = tsc::ticks();
                clear_sample(method);
                tsc::ticks_to_ns(tsc::ticks() - start).max(1)
            });
            let ns = best.min().expect("there is at least one round");
            (u128::from(bytes) * 1_000_000_000 / u128::from(ns)) as u64
        })
    });
    pages::free(sample, order);

    let fastest = (0..measured.len()).max_by_key(|index| measured[*index]).expect("there are methods");
    let chosen = wanted_by_parameter(&measured).unwrap_or(fastest);
    CHOSEN.store(chosen as u8, SeqCst);
    report(&measured, chosen);
}

fn wanted_by_parameter(measured: &[Option<u64>; ClearMethod::ALL.len()]) -> Option<usize> {
    // Choice 0 is `auto`.
    let index = ZERO_METHOD.get_index().checked_sub(1)?;
    if measured[index].is_none() {
        warning(format_args!(
            "zero.method: this cpu has no {}; the fastest it has is used",
            ZERO_METHOD.get()
        ));
    }
    measured[index].map(|_| index)
}

fn report(measured: &[Option<u64>; ClearMethod::ALL.len()], chosen: usize) {
    for (index, method) in ClearMethod::ALL.iter().enumerate() {
        let Some(bytes_per_s) = measured[index] else { continue };
        let is_chosen = index == chosen;
        log::info!(
            "{:8} {:5}.{:02} GiB/s{}",
            method.name(),
            bytes_per_s >> 30,
            ((bytes_per_s & ((1 << 30) - 1)) * 100) >> 30,
            if is_chosen { "  <- chosen" } else { "" }
        );
        records::emit(&Record::ZeroMethod {
            t_ns: tsc::now_ns(),
            method: method.name(),
            bytes_per_s,
            chosen: is_chosen,
        });
    }
}

/// Clears `len_pages` page frames from `first` on.
///
/// # Safety
/// The frames are the caller's alone (invariant 12).
pub unsafe fn zero_frames(first: Pfn, len_pages: u64) {
    // SAFETY: the frames are the caller's, all memory is in the physical map (invariant 11), frames are
    // page-aligned, and `method` only returns what this CPU has.
    unsafe { clear::clear(method(), pages::virt(first), (len_pages * PAGE_SIZE) as usize) }
}

/// Writes a pattern over page frames, so that clearing them can be proved.
///
/// # Safety
/// As for [`zero_frames`].
pub unsafe fn poison_frames(first: Pfn, len_pages: u64) {
    const POISON: u64 = 0xa5a5_5a5a_dead_beef;
    // SAFETY: as for `zero_frames`.
    unsafe { clear::fill(pages::virt(first), (len_pages * PAGE_SIZE) as usize, POISON) }
}

/// Whether every byte of the page frames is zero.
///
/// # Safety
/// As for [`zero_frames`].
pub unsafe fn is_zero(first: Pfn, len_pages: u64) -> bool {
    let words = (len_pages * PAGE_SIZE) as usize / size_of::<u64>();
    // SAFETY: the caller owns the frames, so nobody writes them meanwhile; they are mapped and aligned.
    let words = unsafe { core::slice::from_raw_parts(pages::virt(first).cast::<u64>(), words) };
    // Whole lines at a time: a branch for each word would take most of the time.
    words.chunks_exact(16).all(|line| line.iter().fold(0, |all, word| all | word) == 0)
}
