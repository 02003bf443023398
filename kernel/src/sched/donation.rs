//! Weight donation between the kernel's threads. The inheritance chain is in [`waiting::donation`].

use alloc::sync::Arc;

use runqueue::Nice;
use waiting::{Donation, Donors, ReceivedDonations, donation};

use super::resched::reweigh;
use super::thread::{self, Thread};
use super::wait::KernelThreads;

impl Donors for KernelThreads {
    type Thread = Arc<Thread>;

    fn with_donation<R>(
        &self,
        donor: &Arc<Thread>,
        work: impl FnOnce(&mut Option<Donation<Arc<Thread>>>) -> R,
    ) -> R {
        work(&mut donor.donation.lock())
    }

    fn with_received<R>(&self, donee: &Arc<Thread>, work: impl FnOnce(&mut ReceivedDonations) -> R) -> R {
        work(&mut donee.received_donations.lock())
    }

    fn level(&self, thread: &Arc<Thread>) -> Option<Nice> {
        thread.entity.level()
    }

    fn set_donated_level(&self, thread: &Arc<Thread>, level: Option<Nice>) {
        thread.entity.set_donated_level(level);
    }

    fn reweigh(&self, thread: &Arc<Thread>) {
        reweigh(thread);
    }
}

/// Makes the calling thread donate its weight to `thread`, and down the inheritance chain, until [`withdraw_donation`].
/// `thread` runs at the donor's level if that is heavier. An earlier donation of the calling thread ends.
pub fn donate_weight(thread: &Arc<Thread>) {
    donation::donate(&KernelThreads, &thread::current_arc(), Some(thread));
}

/// Ends the donation of the calling thread.
pub fn withdraw_donation() {
    donation::donate(&KernelThreads, &thread::current_arc(), None);
}

/// Sets the nice level of `thread`, and updates its inheritance chain.
pub fn set_nice(thread: &Thread, nice: Nice) {
    thread.entity.set_nice(nice);
    reweigh(thread);
    donation::pass_on(&KernelThreads, &thread.arc());
}
