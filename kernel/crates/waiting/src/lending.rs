//! Weight that threads lend to those that they wait for, so that a heavy thread does not wait for a light one that
//! waits for the CPU behind everyone whom the heavy one would have come before.
//!
//! A thread lends to one other at a time, and may be lent to by many: it runs at the level of the heaviest of them, if
//! that is heavier than its own. A borrower that itself waits lends on what it is lent. For that each thread keeps how many
//! lend to it at each level: then a lender that goes, or whose level changes, is taken out again whoever else lends,
//! in a few instructions. (Linux keeps a tree of waiters for it; nice levels are few enough to count.)
//!
//! Nothing here is locked but for one thread at a time, and one that it lends to. A change goes down the row of
//! loans step by step. Two that meet on their way agree: each step reckons from what is true when it holds the loan, and
//! who changes a level does so before it looks to whom that is lent.

use runqueue::Nice;

const LEVELS: usize = 40;

/// What others lend to a thread.
#[derive(Debug)]
pub struct Loans {
    /// Lenders by level, the heaviest first.
    counts: [u16; LEVELS],
    /// Levels at which there are any, a bit each.
    levels: u64,
}

impl Loans {
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

    /// The level of the heaviest lender.
    #[must_use]
    pub fn heaviest(&self) -> Option<Nice> {
        // No bit is set: 64, which is no level.
        Nice::new(Nice::MIN.get() + self.levels.trailing_zeros() as i8)
    }
}

impl Default for Loans {
    fn default() -> Self {
        Self::new()
    }
}

/// To whom a thread lends.
#[derive(Debug)]
pub struct Loan<T> {
    to: T,
    /// At which level it counts there; of the idle class: at none.
    level: Option<Nice>,
}

/// Threads that lend.
pub trait Lenders {
    /// A thread that is kept, whether it has ended or not.
    type Thread: Clone;

    /// Runs `work` on the loan of `lender`, behind a lock.
    fn with_loan<R>(
        &self,
        lender: &Self::Thread,
        work: impl FnOnce(&mut Option<Loan<Self::Thread>>) -> R,
    ) -> R;

    /// Runs `work` on what `borrower` is lent, behind another lock; that of a loan may be held.
    fn with_loans<R>(&self, borrower: &Self::Thread, work: impl FnOnce(&mut Loans) -> R) -> R;

    /// The level of the thread now, with what it is lent; none in the idle class.
    fn level(&self, thread: &Self::Thread) -> Option<Nice>;

    /// The thread is lent this level from now on. Called with its loans locked.
    fn set_lent(&self, thread: &Self::Thread, level: Option<Nice>);

    /// What the thread is lent has changed: it may come before others now, or others before it. Called with nothing locked.
    fn reweigh(&self, thread: &Self::Thread);
}

/// Lets `lender` lend to `to` alone from now on, or to nobody.
pub fn lend<T: Lenders>(threads: &T, lender: &T::Thread, to: Option<&T::Thread>) {
    let mut has_new_level = false;
    let last = threads.with_loan(lender, |loan| {
        let last = loan.take();
        if let Some(to) = to {
            let level = threads.level(lender);
            has_new_level = exchange(threads, to, None, level);
            *loan = Some(Loan { to: to.clone(), level });
        }
        last
    });
    if let Some(Loan { to: last, level }) = last
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
pub fn pass_on<T: Lenders>(threads: &T, thread: &T::Thread) {
    let mut via = thread.clone();
    loop {
        let next = threads.with_loan(&via, |loan| {
            let loan = loan.as_mut()?;
            let level = threads.level(&via);
            if level == loan.level {
                return None;
            }
            let old = core::mem::replace(&mut loan.level, level);
            exchange(threads, &loan.to, old, level).then(|| loan.to.clone())
        });
        // A row of loans that is a circle ends too: where a level stays as it is.
        let Some(next) = next else { return };
        threads.reweigh(&next);
        via = next;
    }
}

/// Has a lender count at level `new` with `borrower`, no more at `old`; whether that changes what `borrower` is lent.
fn exchange<T: Lenders>(threads: &T, borrower: &T::Thread, old: Option<Nice>, new: Option<Nice>) -> bool {
    threads.with_loans(borrower, |loans| {
        let before = loans.heaviest();
        if let Some(new) = new {
            loans.add(new);
        }
        if let Some(old) = old {
            loans.remove(old);
        }
        let has_changed = loans.heaviest() != before;
        if has_changed {
            // Under the lock: who is last to change the loans is last to tell.
            threads.set_lent(borrower, loans.heaviest());
        }
        has_changed
    })
}
