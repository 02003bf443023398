//! The zeroing engine: which instruction clears memory fastest is measured at
//! boot, for it differs from machine to machine by more than ten times, and
//! with how much is cleared at a time.
//!
//! Clearing can be interrupted at any instruction, and so the thread that does
//! it preempted, however long the extent is.

use core::sync::atomic::{AtomicU8, Ordering::SeqCst};

use frames::{PAGE_SIZE, Pfn, order_for_pages, poison::POISON};
use params::registry::ZERO_METHOD;
use protocol::record::Record;

use super::pages;
use crate::arch::clear::{self, ClearMethod};
use crate::arch::tsc;
use crate::console::{records, warning};

/// Lengths of extents that have a method of their own: one page, some pages, and
/// what is longer than caches are near.
const EXTENT_PAGES: [u64; 3] = [1, 16, 128];
const EXTENT_CLASSES: usize = EXTENT_PAGES.len();
/// Memory to measure on: the longest extent.
const SAMPLE_PAGES: u64 = EXTENT_PAGES[EXTENT_CLASSES - 1];
/// Memory that each method clears in a round on shorter extents: the clock is read to far less than one percent of that
/// time.
const SHORT_SAMPLE_PAGES: u64 = 32;
/// Timed rounds of each method; the fastest counts.
const ROUNDS: u32 = 3;
/// A method that is so many times slower than another in its first round gets
/// no second one.
const HOPELESS: u64 = 2;

/// A method that is so many times slower than another on long extents is not tried on shorter ones.
const FAR_TOO_SLOW: u64 = 4;

/// `rep stosq` until measured: every CPU has it and none is very slow at it.
static CHOSEN: [AtomicU8; EXTENT_CLASSES] =
    [const { AtomicU8::new(ClearMethod::Stosq as u8) }; EXTENT_CLASSES];

/// Bytes per second of each method on extents of one length; `None` for methods
/// that the CPU has not.
type Rates = [Option<u64>; ClearMethod::ALL.len()];
/// The methods to measure, in the order of [`ClearMethod::ALL`].
type Candidates = [Option<ClearMethod>; ClearMethod::ALL.len()];

/// The method in use for extents of `len_pages`.
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

/// Takes the method that `zero.method` names into use, if this CPU has it: from
/// then on no other one is executed.
pub fn apply_parameter() {
    if let Some(wanted) = wanted_by_parameter() {
        CHOSEN.iter().for_each(|chosen| chosen.store(wanted as u8, SeqCst));
    } else if ZERO_METHOD.get_index() != 0 {
        warning(format_args!(
            "zero.method: {} is not there, or cpu.disable rules it out; the fastest other one is used",
            ZERO_METHOD.get()
        ));
    }
}

/// Measures all methods on warm memory and chooses the fastest for each length
/// of extent; only the one that `zero.method` names, if this CPU has it. Without
/// memory to measure on, the choice stays as it is.
pub fn calibrate() {
    let order = order_for_pages(SAMPLE_PAGES).expect("the sample is no larger than the largest block");
    let Some(sample) = pages::alloc(order) else {
        warning(format_args!("zeroing: no memory to measure on; using {}", method(SAMPLE_PAGES).name()));
        return;
    };
    // The host may back memory at its first touch: not on our time.
    clear_extents(sample, 1, method(SAMPLE_PAGES), SAMPLE_PAGES);
    let wanted = wanted_by_parameter();
    let candidates = core::array::from_fn(|index| {
        let method = ClearMethod::ALL[index];
        (method.is_available() && wanted.is_none_or(|wanted| wanted == index)).then_some(method)
    });
    // Long extents first: what is slow by far there is not tried on short ones.
    let mut rates = [[None; ClearMethod::ALL.len()]; EXTENT_CLASSES];
    let mut candidates: Candidates = candidates;
    for (rates, extent_pages) in rates.iter_mut().zip(EXTENT_PAGES).rev() {
        *rates = measure(sample, extent_pages, &candidates);
        let best = rates.iter().flatten().copied().max().unwrap_or(0);
        for (candidate, rate) in candidates.iter_mut().zip(rates.iter()) {
            *candidate = candidate.filter(|_| rate.is_some_and(|rate| rate > best / FAR_TOO_SLOW));
        }
    }
    pages::free(sample, order);

    for ((rates, chosen), extent_pages) in rates.iter().zip(&CHOSEN).zip(EXTENT_PAGES) {
        let fastest = (0..rates.len()).max_by_key(|index| rates[*index]).expect("there are methods");
        chosen.store(fastest as u8, SeqCst);
        log::debug!("zeroing: extents of {} KiB by {}", extent_pages * 4, ClearMethod::ALL[fastest].name());
    }
    report(&rates[EXTENT_CLASSES - 1], usize::from(CHOSEN[EXTENT_CLASSES - 1].load(SeqCst)));
}

/// The rates of `candidates` on extents of `extent_pages`.
#[inline(never)]
fn measure(sample: Pfn, extent_pages: u64, candidates: &Candidates) -> Rates {
    let extents = SHORT_SAMPLE_PAGES.div_ceil(extent_pages);
    let bytes = extents * extent_pages * PAGE_SIZE;
    let round = |method| {
        let start = tsc::ticks();
        clear_extents(sample, extents, method, extent_pages);
        let ns = tsc::ticks_to_ns(tsc::ticks().saturating_sub(start)).max(1);
        (u128::from(bytes) * 1_000_000_000 / u128::from(ns)) as u64
    };
    let mut rates = candidates.map(|method| method.map(round));
    let best = rates.iter().flatten().copied().max().unwrap_or(0);
    for (rate, method) in rates.iter_mut().zip(ClearMethod::ALL) {
        if let Some(rate) = rate.as_mut().filter(|rate| **rate > best / HOPELESS) {
            *rate = (1..ROUNDS).map(|_| round(method)).fold(*rate, u64::max);
        }
    }
    rates
}

/// Clears the first `extents` of `extent_pages` of the sample, which has as many.
#[inline(never)]
fn clear_extents(sample: Pfn, extents: u64, method: ClearMethod, extent_pages: u64) {
    let bytes = (extent_pages * PAGE_SIZE) as usize;
    for index in 0..extents {
        // SAFETY: the sample was allocated by `calibrate` (invariant 12), is in the physical map (invariant 11) and
        // page-aligned; all extents lie in it; only available methods come here.
        unsafe { clear::clear(method, pages::virt(sample + index * extent_pages), bytes) }
    }
}

/// The method that `zero.method` names, if it may be used.
fn wanted_by_parameter() -> Option<usize> {
    // Choice 0 is `auto`.
    let index = ZERO_METHOD.get_index().checked_sub(1)?;
    ClearMethod::ALL[index].is_available().then_some(index)
}

fn report(rates: &Rates, chosen: usize) {
    for (index, method) in ClearMethod::ALL.iter().enumerate() {
        let Some(bytes_per_s) = rates[index] else { continue };
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

/// Clears `len_pages` page frames from `first` on: a page, a huge page, or any
/// extent.
///
/// # Safety
/// The frames are the caller's alone (invariant 12).
pub unsafe fn zero_frames(first: Pfn, len_pages: u64) {
    // SAFETY: the frames are the caller's, all memory is in the physical map (invariant 11), frames are
    // page-aligned, and `method` only returns what this CPU has.
    unsafe { clear::clear(method(len_pages), pages::virt(first), (len_pages * PAGE_SIZE) as usize) }
}

/// Clears extents, each a first page frame and a number of them. What touches
/// is cleared as one: long extents are cleared faster.
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
