//! Weight donation between the kernel's threads. The inheritance chain is in [`waiting::donation`].

use alloc::sync::Arc;

use runqueue::Nice;
use waiting::{Donation, Donors, ReceivedDonations, donation};

use super::donee::{ChainLink, Donee};
use super::resched::{end_throttle_if_waited_for, reweigh};
use super::thread::{self, Thread};
use super::wait::KernelThreads;

impl Donee for Thread {
    fn chain_link(&self) -> &ChainLink {
        &self.chain_link
    }

    fn level(&self) -> Option<Nice> {
        self.entity.level()
    }

    fn set_donated_level(&self, level: Option<Nice>) {
        self.entity.set_donated_level(level);
    }

    fn reweigh(&self) {
        reweigh(self);
        end_throttle_if_waited_for(self);
    }
}

impl Donors for KernelThreads {
    type Thread = Arc<dyn Donee>;

    fn with_donation<R>(
        &self,
        donor: &Arc<dyn Donee>,
        work: impl FnOnce(&mut Option<Donation<Arc<dyn Donee>>>) -> R,
    ) -> R {
        work(&mut donor.chain_link().donation.lock())
    }

    fn with_received<R>(&self, donee: &Arc<dyn Donee>, work: impl FnOnce(&mut ReceivedDonations) -> R) -> R {
        work(&mut donee.chain_link().received.lock())
    }

    fn level(&self, donor: &Arc<dyn Donee>) -> Option<Nice> {
        donor.level()
    }

    fn set_donated_level(&self, donee: &Arc<dyn Donee>, level: Option<Nice>) {
        donee.set_donated_level(level);
    }

    fn reweigh(&self, donee: &Arc<dyn Donee>) {
        donee.reweigh();
    }
}

/// Makes `donor` donate to `donee` and to nothing else, or to nothing.
pub(super) fn set_donee(donor: Arc<dyn Donee>, donee: Option<Arc<dyn Donee>>) {
    donation::donate(&KernelThreads, &donor, donee.as_ref());
}

/// Ends the donation of `donor` to `donee`, unless it donates to another by now.
pub(super) fn end_donation(donor: Arc<dyn Donee>, donee: Arc<dyn Donee>) {
    donation::end_donation(&KernelThreads, &donor, |current| Arc::ptr_eq(current, &donee));
}

/// Makes the calling thread donate its weight to `donee`, and down the inheritance chain, until [`withdraw_donation`].
/// A thread runs at the donor's level if that is heavier than its own. An earlier donation of the calling thread ends.
pub fn donate_weight(donee: Arc<dyn Donee>) {
    set_donee(thread::current_arc(), Some(donee));
}

/// Ends the donation of the calling thread.
pub fn withdraw_donation() {
    set_donee(thread::current_arc(), None);
}

/// Sets the nice level of `thread`, and updates its inheritance chain.
pub fn set_nice(thread: &Thread, nice: Nice) {
    thread.entity.set_nice(nice);
    reweigh(thread);
    let thread: Arc<dyn Donee> = thread.arc();
    donation::pass_on(&KernelThreads, &thread);
}
