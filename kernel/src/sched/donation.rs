//! Weight that a thread lends to the one that it waits for. How it goes from one to the next is [`waiting::donation`].

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

/// Lets `thread` run at the calling thread's level, if that is heavier, until [`withdraw_donation`]; and whomever `thread`
/// itself lends to. One at a time: what was lent before is taken back.
pub fn donate_weight(thread: &Arc<Thread>) {
    donation::donate(&KernelThreads, &thread::current_arc(), Some(thread));
}

/// Takes back what the calling thread has lent.
pub fn withdraw_donation() {
    donation::donate(&KernelThreads, &thread::current_arc(), None);
}

/// Changes `thread`'s claim on CPU time, and that of whom it waits for.
pub fn set_nice(thread: &Thread, nice: Nice) {
    thread.entity.set_nice(nice);
    reweigh(thread);
    donation::pass_on(&KernelThreads, &thread.arc());
}
