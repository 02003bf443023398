//! Work items as links of an inheritance chain: threads that wait for an item donate to it, and the item to its worker.
//!
//! A queued item that receives a heavier level moves up in its queue. From its begin to its end an item donates what it
//! receives to the thread that runs it.

use runqueue::Nice;

use super::item::Item;
use super::registry;
use crate::sched::donee::{ChainLink, Donee};

impl<T: Item> Donee for T {
    fn chain_link(&self) -> &ChainLink {
        &self.work().chain_link
    }

    fn level(&self) -> Option<Nice> {
        self.work().donated_level()
    }

    fn set_donated_level(&self, level: Option<Nice>) {
        self.work().set_donated_level(level);
    }

    fn reweigh(&self) {
        let work = self.work();
        if let Some(level) = work.donated_level()
            && let Some(pool) = registry::all().get(work.location().pool)
        {
            pool.raise(work, level);
        }
    }
}
