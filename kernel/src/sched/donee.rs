//! What a waiting thread can donate its weight to: another thread, or a work item, which passes it on to its worker.

use alloc::sync::Arc;

use runqueue::Nice;
use waiting::{Donation, ReceivedDonations};

use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// A link of an inheritance chain.
pub trait Donee: Send + Sync {
    /// Returns its part of the chain.
    fn chain_link(&self) -> &ChainLink;

    /// Returns the level that it passes on; `None`: none.
    fn level(&self) -> Option<Nice>;

    /// Sets the level that it receives. Called with its received donations locked.
    fn set_donated_level(&self, level: Option<Nice>);

    /// Applies a changed level to the queue in which it is, if any. Called without the locks of [`ChainLink`].
    fn reweigh(&self);
}

/// The donation that a link makes, and those that it receives.
pub struct ChainLink {
    pub(super) donation: IrqSpinLock<Option<Donation<Arc<dyn Donee>>>>,
    pub(super) received: IrqSpinLock<ReceivedDonations>,
}

impl ChainLink {
    /// Creates the link of a thread or an item that neither makes nor receives a donation.
    pub(super) const fn new() -> Self {
        Self {
            donation: IrqSpinLock::of(LockClass::DONATION, None),
            received: IrqSpinLock::of(LockClass::RECEIVED_DONATIONS, ReceivedDonations::new()),
        }
    }
}
