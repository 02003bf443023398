//! The weight that a waiting caller lends to one helper.

use crate::platform::Platform;
use crate::sync::{AtomicUsize, Ordering};

/// The slot of the helper that runs at the caller's weight, and how that helper reports its end.
///
/// The caller lends to one helper at a time, as in the fourth posted version: a thread that
/// lent its weight to all helpers would count many times over.
///
/// No end of a helper is missed: store then load. The helper marks its slot done, then loads
/// `borrower`; the caller stores `borrower`, then loads the state of the slot. All four accesses
/// are SeqCst, so one sees the other: the helper sees that it is the borrower and wakes the
/// caller, or the caller sees that the helper has ended.
pub(super) struct Lending<P: Platform> {
    caller: P::Thread,
    /// Slot of the helper; 0, which is the caller's own slot, for none.
    borrower: AtomicUsize,
}

impl<P: Platform> Lending<P> {
    /// Makes the calling thread the lender.
    pub(super) fn new(platform: &P) -> Self {
        Self { caller: platform.current_thread(), borrower: AtomicUsize::new(0) }
    }

    /// Caller: names the helper in slot `index` as the borrower; 0 for none.
    pub(super) fn set_borrower(&self, index: usize) {
        // SeqCst: see the type.
        self.borrower.store(index, Ordering::SeqCst);
    }

    /// Helper: charges `cpu_ns` nanoseconds of its CPU time to the caller.
    pub(super) fn charge(&self, platform: &P, cpu_ns: u64) {
        platform.charge(&self.caller, cpu_ns);
    }

    /// Helper in slot `index`, after `WorkerSlot::set_done`: wakes the caller if it lends to this
    /// helper, because it then has to choose another one.
    pub(super) fn helper_ended(&self, platform: &P, index: usize) {
        // SeqCst: see the type.
        if self.borrower.load(Ordering::SeqCst) == index {
            platform.unpark(&self.caller);
        }
    }
}
