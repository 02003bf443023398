//! Measures at boot which instruction clears memory fastest, for each class of
//! extents of [`zero`].

use frames::{PAGE_SIZE, Pfn, order_for_pages};
use protocol::record::Record;

use super::zero::{self, EXTENT_CLASSES, EXTENT_PAGES, method};
use super::{mem_map, pages};
use crate::arch::clear::{self, ClearMethod};
use crate::arch::tsc;
use crate::console::{records, warning};

/// Memory to measure on: the longest extent.
const SAMPLE_PAGES: u64 = EXTENT_PAGES[EXTENT_CLASSES - 1];
/// Memory that each method clears in a round on shorter extents. Reading the clock takes far less than one percent of
/// that time.
const SHORT_SAMPLE_PAGES: u64 = 32;
/// Timed rounds of each method; the fastest counts.
const ROUNDS: u32 = 3;
/// A method this many times slower than the fastest in its first round is not timed again.
const RETIME_RATIO: u64 = 2;
/// A method this many times slower than the fastest on long extents is not tried on shorter ones.
const TRY_SHORTER_RATIO: u64 = 4;

/// Bytes per second of each method on extents of one length; `None` for methods
/// that were not measured.
type Rates = [Option<u64>; ClearMethod::ALL.len()];
/// The methods to measure, in the order of [`ClearMethod::ALL`].
type Candidates = [Option<ClearMethod>; ClearMethod::ALL.len()];

/// Measures all methods on warm memory and chooses the fastest for each class of
/// extents. If `zero.method` names a method that this CPU has, only this method is
/// measured. Without memory to measure on, the choice stays as it is.
pub fn calibrate() {
    let order = order_for_pages(SAMPLE_PAGES).expect("the sample is no larger than the largest block");
    let Some(sample) = pages::alloc(order) else {
        warning(format_args!("zeroing: no memory to measure on; using {}", method(SAMPLE_PAGES).name()));
        return;
    };
    // The host may back memory at its first touch: not on our time.
    clear_extents(sample, 1, method(SAMPLE_PAGES), SAMPLE_PAGES);
    let wanted = zero::wanted_by_parameter();
    let mut candidates: Candidates = ClearMethod::ALL.map(|method| {
        (method.is_available() && wanted.is_none_or(|wanted| wanted == method)).then_some(method)
    });
    // Long extents first: a method far too slow there is not tried on short ones.
    let mut rates = [[None; ClearMethod::ALL.len()]; EXTENT_CLASSES];
    for (rates, extent_pages) in rates.iter_mut().zip(EXTENT_PAGES).rev() {
        *rates = measure(sample, extent_pages, &candidates);
        let best = rates.iter().flatten().copied().max().unwrap_or(0);
        for (candidate, rate) in candidates.iter_mut().zip(rates.iter()) {
            *candidate = candidate.filter(|_| rate.is_some_and(|rate| rate > best / TRY_SHORTER_RATIO));
        }
    }
    pages::free(sample, order);

    for (class, rates) in rates.iter().enumerate() {
        let fastest = (0..rates.len()).max_by_key(|index| rates[*index]).expect("there are methods");
        let fastest = ClearMethod::ALL[fastest];
        zero::choose(class, fastest);
        log::debug!("zeroing: extents of {} KiB by {}", EXTENT_PAGES[class] * 4, fastest.name());
    }
    report(&rates[EXTENT_CLASSES - 1], method(SAMPLE_PAGES));
}

/// Returns the rates of `candidates` on extents of `extent_pages`.
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
        if let Some(rate) = rate.as_mut().filter(|rate| **rate > best / RETIME_RATIO) {
            *rate = (1..ROUNDS).map(|_| round(method)).fold(*rate, u64::max);
        }
    }
    rates
}

/// Clears `extents` extents of `extent_pages` each from the start of the sample,
/// which is that long.
#[inline(never)]
fn clear_extents(sample: Pfn, extents: u64, method: ClearMethod, extent_pages: u64) {
    let bytes = (extent_pages * PAGE_SIZE) as usize;
    for index in 0..extents {
        // SAFETY: the sample was allocated by `calibrate` (invariant 12), is in the physical map (invariant 11) and
        // page-aligned; all extents lie in it; only available methods come here.
        unsafe { clear::clear(method, mem_map::virt(sample + index * extent_pages), bytes) }
    }
}

fn report(rates: &Rates, chosen: ClearMethod) {
    for (method, rate) in ClearMethod::ALL.into_iter().zip(rates) {
        let Some(bytes_per_s) = *rate else { continue };
        let is_chosen = method == chosen;
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
