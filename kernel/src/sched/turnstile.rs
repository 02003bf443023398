//! What threads that wait for a mutex donate to: it donates to the owner. See [`waiting::handover`].

use core::sync::atomic::{AtomicI8, Ordering::SeqCst};

use runqueue::Nice;

use super::donee::{ChainLink, Donee};

/// The turnstile of a thread or of a mutex.
pub(super) struct Turnstile {
    chain_link: ChainLink,
    /// The level that it receives, or [`NO_LEVEL`].
    level: AtomicI8,
}

/// No nice level.
const NO_LEVEL: i8 = i8::MAX;

impl Turnstile {
    /// Creates a turnstile that neither makes nor receives a donation.
    pub(super) const fn new() -> Self {
        Self { chain_link: ChainLink::new(), level: AtomicI8::new(NO_LEVEL) }
    }
}

impl Donee for Turnstile {
    fn chain_link(&self) -> &ChainLink {
        &self.chain_link
    }

    /// Returns what it receives: it has no other level.
    fn level(&self) -> Option<Nice> {
        Nice::new(self.level.load(SeqCst))
    }

    fn set_donated_level(&self, level: Option<Nice>) {
        self.level.store(level.map_or(NO_LEVEL, Nice::get), SeqCst);
    }

    /// Does nothing: it is in no queue.
    fn reweigh(&self) {}
}
