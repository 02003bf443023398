//! Weight that threads lend to those that they wait for, so that a heavy thread does not wait for a light one that
//! waits for the CPU behind everyone whom the heavy one would have come before.
//!
//! A thread lends to one other at a time, and may be lent to by many: it runs at the level of the heaviest of them, if
//! that is heavier than its own. A donee that itself waits lends on what it is lent. For that each thread keeps how many
//! lend to it at each level: then a donor that goes, or whose level changes, is taken out again whoever else lends,
//! in a few instructions. (Linux keeps a tree of waiters for it; nice levels are few enough to count.)
//!
//! Nothing here is locked but for one thread at a time, and one that it lends to. A change goes down the inheritance
//! chain step by step. Two that meet on their way agree: each step reckons from what is true when it holds the donation, and
//! who changes a level does so before it looks to whom that is lent.

use runqueue::Nice;

const LEVELS: usize = 40;

/// What others lend to a thread.
#[derive(Debug)]
pub struct ReceivedDonations {
    /// Donors by level, the heaviest first.
    counts: [u16; LEVELS],
    /// Levels at which there are any, a bit each.
    levels: u64,
}

impl ReceivedDonations {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: [0; LEVELS], levels: 0 }
    }

    const fn index(level: Nice) -> usize {
        (level.get() - Nice::MIN.get()) as usize
    }

    /// One more lends at `level`.
    pub fn add(&mut self, level: Nice) {
        self.counts[Self::index(level)] += 1;
        self.levels |= 1 << Self::index(level);
    }

    /// One that lent at `level` does so no more.
    pub fn remove(&mut self, level: Nice) {
        let count = &mut self.counts[Self::index(level)];
        *count -= 1;
        if *count == 0 {
            self.levels &= !(1 << Self::index(level));
        }
    }

    /// The level of the heaviest donor.
    #[must_use]
    pub fn heaviest(&self) -> Option<Nice> {
        // No bit is set: 64, which is no level.
        Nice::new(Nice::MIN.get() + self.levels.trailing_zeros() as i8)
    }
}

impl Default for ReceivedDonations {
    fn default() -> Self {
        Self::new()
    }
}

/// To whom a thread lends.
#[derive(Debug)]
pub struct Donation<T> {
    to: T,
    /// At which level it counts there; of the idle class: at none.
    level: Option<Nice>,
}

/// Threads that lend.
pub trait Donors {
    /// A thread that is kept, whether it has ended or not.
    type Thread: Clone;

    /// Runs `work` on the donation of `donor`, behind a lock.
    fn with_donation<R>(
        &self,
        donor: &Self::Thread,
        work: impl FnOnce(&mut Option<Donation<Self::Thread>>) -> R,
    ) -> R;

    /// Runs `work` on what `donee` is lent, behind another lock; that of a donation may be held.
    fn with_received<R>(&self, donee: &Self::Thread, work: impl FnOnce(&mut ReceivedDonations) -> R) -> R;

    /// The level of the thread now, with what it is lent; none in the idle class.
    fn level(&self, thread: &Self::Thread) -> Option<Nice>;

    /// The thread is lent this level from now on. Called with its received donations locked.
    fn set_donated_level(&self, thread: &Self::Thread, level: Option<Nice>);

    /// What the thread is lent has changed: it may come before others now, or others before it. Called with nothing locked.
    fn reweigh(&self, thread: &Self::Thread);
}

/// Lets `donor` lend to `to` alone from now on, or to nobody.
pub fn donate<T: Donors>(threads: &T, donor: &T::Thread, to: Option<&T::Thread>) {
    let mut has_new_level = false;
    let last = threads.with_donation(donor, |donation| {
        let last = donation.take();
        if let Some(to) = to {
            let level = threads.level(donor);
            has_new_level = exchange(threads, to, None, level);
            *donation = Some(Donation { to: to.clone(), level });
        }
        last
    });
    if let Some(Donation { to: last, level }) = last
        && exchange(threads, &last, level, None)
    {
        threads.reweigh(&last);
        pass_on(threads, &last);
    }
    if let Some(to) = to.filter(|_| has_new_level) {
        threads.reweigh(to);
        pass_on(threads, to);
    }
}

/// Passes on that the level of `thread` has changed, to whom it lends to, and so on.
pub fn pass_on<T: Donors>(threads: &T, thread: &T::Thread) {
    let mut via = thread.clone();
    loop {
        let next = threads.with_donation(&via, |donation| {
            let donation = donation.as_mut()?;
            let level = threads.level(&via);
            if level == donation.level {
                return None;
            }
            let old = core::mem::replace(&mut donation.level, level);
            exchange(threads, &donation.to, old, level).then(|| donation.to.clone())
        });
        // An inheritance chain that is a circle ends too: where a level stays as it is.
        let Some(next) = next else { return };
        threads.reweigh(&next);
        via = next;
    }
}

/// Has a donor count at level `new` with `donee`, no more at `old`; whether that changes what `donee` is lent.
fn exchange<T: Donors>(threads: &T, donee: &T::Thread, old: Option<Nice>, new: Option<Nice>) -> bool {
    threads.with_received(donee, |received| {
        let before = received.heaviest();
        if let Some(new) = new {
            received.add(new);
        }
        if let Some(old) = old {
            received.remove(old);
        }
        let has_changed = received.heaviest() != before;
        if has_changed {
            // Under the lock: who is last to change the donations is last to tell.
            threads.set_donated_level(donee, received.heaviest());
        }
        has_changed
    })
}
