//! The timed jobs of this kernel: all that registered in a section of the image.

use alloc::vec::Vec;

use protocol::ktest::Need;
use protocol::record::Unit;

use super::report::Row;

/// The place in the table of a job that names none: behind those that do.
pub const LAST: u32 = u32::MAX;

/// A registered job, an element of the section `.timed_jobs`. A job has one for each kind of unit.
#[repr(C)]
pub struct Registered {
    /// The name in table and records.
    pub name: &'static str,
    /// The place in the table: smaller numbers come first, then names.
    pub order: u32,
    /// What the job counts.
    pub unit: Unit,
    /// Whether the job writes every byte of its units. Bytes per second would else name memory that no CPU touched.
    pub writes: bool,
    /// What the machine must have; else the job is left out.
    pub needs: &'static [Need],
    /// Times the job and adds its rows.
    pub time: fn(&'static Registered, &mut Vec<Row>),
}

unsafe extern "C" {
    static __timed_jobs_start: u8;
    static __timed_jobs_end: u8;
}

fn registered() -> &'static [Registered] {
    let start = (&raw const __timed_jobs_start).cast::<Registered>();
    let end = (&raw const __timed_jobs_end).cast::<Registered>();
    // SAFETY: the linker script places all `Registered`s, aligned, and nothing else between the symbols (invariant 8).
    unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) }
}

/// Returns all jobs in the order of the table.
pub(super) fn all() -> Vec<&'static Registered> {
    let mut all: Vec<_> = registered().iter().collect();
    all.sort_by_key(|job| (job.order, job.name));
    all
}
