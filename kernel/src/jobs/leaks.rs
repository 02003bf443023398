//! Whether work gives back all pages that it took.

use crate::mm::permanent;
use crate::sched;

/// Returns the number of free and permanent pages. Work that leaks nothing does not change it, although any job may create a
/// worker, whose stack is permanent.
pub fn free_or_permanent_pages() -> u64 {
    loop {
        match permanent::free_or_permanent_pages() {
            Some(sum) => return sum,
            // Another thread allocates a permanent page, which is done at once.
            None => sched::sleep_ns(100_000),
        }
    }
}
