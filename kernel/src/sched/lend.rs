//! Weight that a thread lends to the one that it waits for, so that the latter does not wait for the CPU behind everyone
//! whom the former would have come before.

use alloc::sync::Arc;

use super::preempt::reweigh;
use super::thread::{self, Thread};

/// A weight that is passed on no further than this: a circle of threads that wait for each other is no reason to hang here.
const MOST_LENDERS_IN_A_ROW: usize = 32;

/// Lets `thread` run at the calling thread's weight if that is larger, until [`take_weight_back`]; and
/// whomever `thread` itself lends to. One at a time: what was lent before is taken back.
pub fn lend_weight(thread: &Arc<Thread>) {
    let lender = thread::current();
    move_loan(lender, Some(thread));
    // Who is lent something while it waits passes it on.
    let mut via = thread.clone();
    for _ in 0..MOST_LENDERS_IN_A_ROW {
        let mut loan = via.lends.lock();
        let Some((to, lent)) = loan.as_mut() else { return };
        let more = via.entity.weight().get().saturating_sub(to.entity.weight().get());
        *lent += more;
        to.entity.borrow(more);
        let to = to.clone();
        drop(loan);
        reweigh(&to);
        via = to;
    }
}

/// Takes back what `lender` has lent, and lends to `to`, if anybody, what `lender` weighs more.
pub(super) fn move_loan(lender: &Thread, to: Option<&Arc<Thread>>) {
    let old = lender.lends.lock().take();
    if let Some((borrower, weight)) = old {
        borrower.entity.give_back(weight);
        reweigh(&borrower);
    }
    if let Some(to) = to {
        let weight = lender.entity.weight().get().saturating_sub(to.entity.weight().get());
        to.entity.borrow(weight);
        *lender.lends.lock() = Some((to.clone(), weight));
        reweigh(to);
    }
}

/// Takes back what the calling thread has lent.
pub fn take_weight_back() {
    move_loan(thread::current(), None);
}
