//! Weight donation: a waiting thread gives its weight to the thread that it waits for (priority inheritance for
//! weights). Without it, a heavy thread waits for a light one. The light one waits for the CPU behind threads that the
//! heavy one would precede.
//!
//! A thread donates to one *donee* at a time, and may receive from many *donors*. It runs at the level of its heaviest
//! donor, if that is heavier than its own level. A donee that itself waits passes on what it receives: that forms an
//! inheritance chain. Each thread counts its donors at each level. So a donor that stops, or whose level changes, is
//! removed in a few instructions, whatever the other donors give. (Linux keeps a tree of waiters for that purpose; nice
//! levels are few enough to count.)
//!
//! At most one thread's donation and its donee's received donations are locked at a time. A change moves down the chain
//! step by step. Concurrent updates converge: each step recomputes under the donor's lock, and a level is changed
//! before it is propagated.

use runqueue::Nice;

const LEVELS: usize = 40;

/// What a thread receives from its donors.
#[derive(Debug)]
pub struct ReceivedDonations {
    /// Number of donors at each level, the heaviest first.
    counts: [u16; LEVELS],
    /// The levels with at least one donor, one bit each.
    levels: u64,
}

impl ReceivedDonations {
    /// Creates the record of a thread without donors.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: [0; LEVELS], levels: 0 }
    }

    const fn index(level: Nice) -> usize {
        (level.get() - Nice::MIN.get()) as usize
    }

    /// Adds a donor at `level`.
    pub fn add(&mut self, level: Nice) {
        self.counts[Self::index(level)] += 1;
        self.levels |= 1 << Self::index(level);
    }

    /// Removes a donor at `level`.
    pub fn remove(&mut self, level: Nice) {
        let count = &mut self.counts[Self::index(level)];
        *count -= 1;
        if *count == 0 {
            self.levels &= !(1 << Self::index(level));
        }
    }

    /// Returns the level of the heaviest donor.
    #[must_use]
    pub fn heaviest(&self) -> Option<Nice> {
        // Without a set bit the sum is 44, which is no level.
        Nice::new(Nice::MIN.get() + self.levels.trailing_zeros() as i8)
    }
}

impl Default for ReceivedDonations {
    fn default() -> Self {
        Self::new()
    }
}

/// The donation that a thread makes.
#[derive(Debug)]
pub struct Donation<T> {
    donee: T,
    /// The level at which the donee counts it; none from a thread of the idle class.
    level: Option<Nice>,
}

/// Threads that donate weight.
pub trait Donors {
    /// A handle that keeps a thread's record alive, even after the thread has ended.
    type Thread: Clone;

    /// Runs `work` on the donation that `donor` makes, under a lock.
    fn with_donation<R>(
        &self,
        donor: &Self::Thread,
        work: impl FnOnce(&mut Option<Donation<Self::Thread>>) -> R,
    ) -> R;

    /// Runs `work` on the donations that `donee` receives, under another lock. The lock of a donation may be held.
    fn with_received<R>(&self, donee: &Self::Thread, work: impl FnOnce(&mut ReceivedDonations) -> R) -> R;

    /// Returns the thread's level with what it receives; none in the idle class.
    fn level(&self, thread: &Self::Thread) -> Option<Nice>;

    /// Sets the level that the thread receives. Called with its received donations locked.
    fn set_donated_level(&self, thread: &Self::Thread, level: Option<Nice>);

    /// Applies a changed weight to the run queue: the thread may now precede others, or others may precede it. Called
    /// without the locks of donations.
    fn reweigh(&self, thread: &Self::Thread);
}

/// The donees whose level a change has changed: the previous and the new one. They have yet to
/// [pass it on](Self::pass_on).
#[derive(Debug)]
#[must_use]
pub struct Changed<T>([Option<T>; 2]);

impl<T: Clone> Changed<T> {
    /// Returns that no level has changed.
    pub const fn none() -> Self {
        Self([None, None])
    }

    /// Propagates the levels down the inheritance chains. Called without any lock, because chains have any length. The
    /// chains may have changed since: each step recomputes.
    pub fn pass_on(self, threads: &impl Donors<Thread = T>) {
        for donee in self.0.into_iter().flatten() {
            pass_on(threads, &donee);
        }
    }
}

/// Makes `donor` donate to `donee` and to no other thread, or to none.
pub fn donate<T: Donors>(threads: &T, donor: &T::Thread, donee: Option<&T::Thread>) {
    redirect(threads, donor, donee).pass_on(threads);
}

/// Does the same, without what follows down the inheritance chains. Takes a bounded time.
pub fn redirect<T: Donors>(threads: &T, donor: &T::Thread, donee: Option<&T::Thread>) -> Changed<T::Thread> {
    let mut has_new_level = false;
    let previous = threads.with_donation(donor, |donation| {
        let previous = donation.take();
        if let Some(donee) = donee {
            let level = threads.level(donor);
            has_new_level = exchange(threads, donee, None, level);
            *donation = Some(Donation { donee: donee.clone(), level });
        }
        previous
    });
    let has_lost = |made: &Donation<T::Thread>| exchange(threads, &made.donee, made.level, None);
    let previous = previous.filter(has_lost).map(|made| made.donee);
    let changed = Changed([previous, donee.filter(|_| has_new_level).cloned()]);
    changed.0.iter().flatten().for_each(|donee| threads.reweigh(donee));
    changed
}

/// Ends the donation of `donor` if it is to a donee that `is_donee` accepts.
pub fn end_donation<T: Donors>(threads: &T, donor: &T::Thread, is_donee: impl FnOnce(&T::Thread) -> bool) {
    let ended = threads.with_donation(donor, |donation| donation.take_if(|made| is_donee(&made.donee)));
    if let Some(ended) = ended {
        take_back(threads, ended);
    }
}

/// Removes a donation, which its donor no longer makes, from its donee.
fn take_back<T: Donors>(threads: &T, Donation { donee, level }: Donation<T::Thread>) {
    if exchange(threads, &donee, level, None) {
        threads.reweigh(&donee);
        pass_on(threads, &donee);
    }
}

/// Propagates a changed level of `thread` down its inheritance chain.
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
            exchange(threads, &donation.donee, old, level).then(|| donation.donee.clone())
        });
        // A cyclic chain ends too, where a level stays the same.
        let Some(next) = next else { return };
        threads.reweigh(&next);
        via = next;
    }
}

/// Replaces a donor of `donee` at level `old` by one at level `new`. Returns whether the level that `donee` receives has
/// changed.
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
            // Under the lock, so that the last change of the donations is also the last level set.
            threads.set_donated_level(donee, received.heaviest());
        }
        has_changed
    })
}
