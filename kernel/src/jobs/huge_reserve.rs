//! The `huge-reserve` job: reserves and clears huge pages in parallel. The original is the seed's `fallocate` for huge pages,
//! here without the file.

use core::convert::Infallible;
use core::ops::Range;

use frames::order_pages;
use ktask::{Chunk, HugePages, JobError, Stats};

use super::evict_cache;
use super::manners::Kind;
use super::platform::Kernel;
use crate::mm::huge::{HugeSize, NoHugePage, Reservation};
use crate::mm::zero;

/// Why a reservation failed. All pages that it had taken were freed.
#[derive(Debug)]
pub enum ReserveError {
    /// No memory for the table of pages.
    NoTable,
    /// A page was not available.
    Job(JobError<NoHugePage>),
}

static RESERVE: Kind = Kind::new("huge-reserve");
static POISON: Kind = Kind::new("poison-reserved");
static VERIFY: Kind = Kind::new("verify-reserved");

fn pages(count: u64) -> Range<HugePages> {
    HugePages::new(0)..HugePages::new(count)
}

/// Reserves `count` pages, all or none, on `threads` threads (`None`: as many as are useful).
pub fn reserve(
    size: HugeSize,
    count: u64,
    threads: Option<usize>,
) -> Result<(Reservation, Stats), ReserveError> {
    let reservation = Reservation::with_slots(size, count).ok_or(ReserveError::NoTable)?;
    evict_cache::make_room(size.order(), count);
    let undo = |chunk: Chunk<HugePages>| {
        for index in chunk.indices() {
            reservation.release(index);
        }
    };
    let stats = RESERVE.job(pages(count), threads).undo(&undo).run(&Kernel, |chunk| {
        let indices = chunk.indices();
        indices.clone().try_for_each(|index| reservation.fill(index)).inspect_err(|_| {
            // The failing chunk cleans up after itself.
            indices.for_each(|index| reservation.release(index));
        })
    });
    match stats {
        Ok(stats) => Ok((reservation, stats)),
        Err(error) => {
            assert_eq!(reservation.held(), 0, "a failed reservation must hold nothing");
            Err(ReserveError::Job(error))
        }
    }
}

/// Fills the pages of `reservation` with a pattern that is not zero.
pub fn poison(reservation: &Reservation) {
    let frames = order_pages(reservation.size().order());
    let filled: Result<Stats, JobError<Infallible>> =
        POISON.job(pages(reservation.len()), None).run(&Kernel, |chunk| {
            for index in chunk.indices() {
                if let Some(page) = reservation.page(index) {
                    // SAFETY: the reservation owns the page (invariant 12), and no other chunk has this index
                    // (invariant 5). So no other thread accesses the page meanwhile.
                    unsafe { zero::poison_frames(page, frames) };
                }
            }
            Ok(())
        });
    filled.expect("poisoning cannot fail");
}

/// Returns whether the reservation is full, holds no page twice, and every byte is zero.
pub fn verify(reservation: &Reservation) -> bool {
    let frames = order_pages(reservation.size().order());
    let checked = VERIFY.job(pages(reservation.len()), None).run(&Kernel, |chunk| {
        let all_zero = (chunk.indices()).all(|index| {
            // SAFETY: the reservation owns the page (invariant 12), and no thread writes to it.
            reservation.page(index).is_some_and(|page| unsafe { zero::is_zero(page, frames) })
        });
        if all_zero { Ok(()) } else { Err(()) }
    });
    reservation.held() == reservation.len() && reservation.is_disjoint() && checked.is_ok()
}

impl core::fmt::Display for ReserveError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoTable => write!(f, "no memory for the table of pages"),
            Self::Job(error) => write!(f, "{error:#}; all pages were released"),
        }
    }
}
