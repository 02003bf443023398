//! What the owner of a submitted item does with it: cancel it, wait for it, find its worker.

use alloc::sync::Arc;

use workpool::Generation;

use super::item::{Item, Work, WorkAttrs};
use super::registry;
use super::worker_pool::{Pool, SubmitError};
use crate::sched::donation::{self, withdraw_donation};
use crate::sched::thread::{self, Thread};

/// Cancels `generation` of `item` if no worker has begun with it. Returns whether it did.
pub fn cancel(item: &dyn Item, generation: Generation) -> bool {
    let work = item.work();
    let is_ours = work.cancel(generation);
    if is_ours && let Some(pool) = registry::all().get(work.location().pool) {
        pool.remove_cancelled(work);
    }
    is_ours
}

/// Waits until `generation` of `item` is over, done or cancelled. Meanwhile the calling thread
/// [donates its weight](donate_weight) to it.
///
/// # Panics
/// In debug builds, when the calling thread is running the item: it would wait for itself.
#[cfg_attr(debug_assertions, track_caller)]
pub fn wait(item: &Arc<dyn Item>, generation: Generation) {
    debug_assert!(
        worker_of(&**item, generation).is_none_or(|worker| !core::ptr::eq(&*worker, thread::current())),
        "invariant 27: {} waits for the work item that it is running",
        thread::current_name()
    );
    donate_weight(item.clone(), generation);
    item.work().wait(generation);
    withdraw_donation();
}

/// Makes the calling thread, which is about to wait for `generation` of `item`, donate its weight to it until
/// [`withdraw_donation`]. A queued item moves up to the thread's level; the worker that runs it runs at that level.
pub fn donate_weight(item: Arc<dyn Item>, generation: Generation) {
    donation::donate_weight(item.clone());
    // Checked after the donation: what is donated to a later generation is taken back.
    if item.work().is_over(generation) {
        withdraw_donation();
    }
}

/// Returns the worker that is running `generation` of `item`.
fn worker_of(item: &dyn Item, generation: Generation) -> Option<Arc<Thread>> {
    let work = item.work();
    if !work.is_running() {
        return None;
    }
    let location = work.location();
    let thread = registry::all().get(location.pool)?.thread_of(location.worker);
    // Checked after the thread was read: the generation was not over at that time.
    thread.filter(|_| work.generation() == generation)
}

/// An item that calls a function.
struct FnItem<F> {
    work: Work,
    function: F,
}

impl<F: Fn() + Send + Sync + 'static> Item for FnItem<F> {
    fn work(&self) -> &Work {
        &self.work
    }

    fn run(&self) {
        (self.function)();
    }
}

/// Creates an item that calls `function`, and submits it to `pool`.
pub fn submit_fn(
    pool: &'static Pool,
    attrs: WorkAttrs,
    function: impl Fn() + Send + Sync + 'static,
) -> Result<(Arc<dyn Item>, Generation), SubmitError> {
    let item: Arc<dyn Item> = Arc::new(FnItem { work: Work::new(), function });
    pool.submit(item.clone(), attrs).map(|generation| (item, generation))
}
