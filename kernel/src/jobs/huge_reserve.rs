//! The `huge-reserve` job: takes huge pages, then clears them in parallel. The original is the seed's `fallocate` for huge pages,
//! here without the file.

use core::convert::Infallible;
use core::fmt;

use ktask::JobError;

use super::clearing;
use super::evict_cache;
use super::manners::Kind;
use super::node_stats::JobStats;
use crate::arch::tsc;
use crate::mm::huge::{HugeSize, Reservation, TakeError};
use crate::mm::pages;
use crate::sched;

static RESERVE: Kind = Kind::new("huge-reserve");

/// Why a reservation failed. It holds no page.
#[derive(Debug)]
pub enum ReserveError {
    /// The pages could not be taken; none was cleared.
    Take(TakeError),
    /// The pages could not be cleared.
    Job(JobError<Infallible>),
}

/// Reserves `count` pages, all or none, on `threads` threads (`None`: as many as are useful). The statistics are the job's
/// that clears them, in pages of 4 KiB; the times include taking the pages.
pub fn reserve(
    size: HugeSize,
    count: u64,
    threads: Option<usize>,
) -> Result<(Reservation, JobStats), ReserveError> {
    evict_cache::make_room(size.order(), count);
    let (start_ns, start_cpu_ns) = (tsc::now_ns(), sched::current().cpu_time_ns());
    let mut reservation =
        Reservation::take(size, count, pages::count_job_allocations).map_err(ReserveError::Take)?;
    let taking_ns = sched::current().cpu_time_ns().saturating_sub(start_cpu_ns);
    // SAFETY: the reservation owns the pages (invariant 12), and only this thread has it.
    let stats = unsafe { clearing::clear_all(&RESERVE, &reservation.extents(), threads) };
    let mut stats = stats.map_err(ReserveError::Job)?;
    stats.wall_ns = tsc::since_ns(start_ns);
    stats.cpu_ns += taking_ns;
    Ok((reservation, stats))
}

/// Fills the pages of `reservation` with a pattern that is not zero.
pub fn poison(reservation: &mut Reservation) {
    // SAFETY: the reservation owns the pages (invariant 12), and `&mut` excludes other users.
    unsafe { clearing::poison(&reservation.extents()) }
}

/// Returns whether the reservation holds no page twice, and every byte is zero.
pub fn verify(reservation: &mut Reservation) -> bool {
    // SAFETY: the reservation owns the pages (invariant 12), and `&mut` excludes other users.
    reservation.is_disjoint() && unsafe { clearing::is_zero(&reservation.extents()) }
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Take(error) => error.fmt(f),
            Self::Job(error) => write!(f, "{error:#}; all pages were released"),
        }
    }
}
