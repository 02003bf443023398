//! Weight that a thread lends to the one that it waits for. How it goes from one to the next is [`waiting::lending`].

use alloc::sync::Arc;

use runqueue::Nice;
use waiting::{Lenders, Loan, Loans, lending};

use super::resched::reweigh;
use super::thread::{self, Thread};
use super::wait::KernelThreads;

impl Lenders for KernelThreads {
    type Thread = Arc<Thread>;

    fn with_loan<R>(
        &self,
        lender: &Arc<Thread>,
        work: impl FnOnce(&mut Option<Loan<Arc<Thread>>>) -> R,
    ) -> R {
        work(&mut lender.loan.lock())
    }

    fn with_loans<R>(&self, borrower: &Arc<Thread>, work: impl FnOnce(&mut Loans) -> R) -> R {
        work(&mut borrower.loans.lock())
    }

    fn level(&self, thread: &Arc<Thread>) -> Option<Nice> {
        thread.entity.level()
    }

    fn set_lent(&self, thread: &Arc<Thread>, level: Option<Nice>) {
        thread.entity.set_lent(level);
    }

    fn reweigh(&self, thread: &Arc<Thread>) {
        reweigh(thread);
    }
}

/// Lets `thread` run at the calling thread's level, if that is heavier, until [`take_weight_back`]; and whomever `thread`
/// itself lends to. One at a time: what was lent before is taken back.
pub fn lend_weight(thread: &Arc<Thread>) {
    lending::lend(&KernelThreads, &thread::current_arc(), Some(thread));
}

/// Takes back what the calling thread has lent.
pub fn take_weight_back() {
    lending::lend(&KernelThreads, &thread::current_arc(), None);
}

/// Changes `thread`'s claim on CPU time, and that of whom it waits for.
pub fn set_nice(thread: &Thread, nice: Nice) {
    thread.entity.set_nice(nice);
    reweigh(thread);
    lending::pass_on(&KernelThreads, &thread.arc());
}
