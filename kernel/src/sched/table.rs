//! The table of threads. Queues hold threads by number.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

use runqueue::{Entities, Entity, HeapNode, HeapNodes, Link, Links, Sweep, Tid};

use super::thread::Thread;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu;
use crate::arch::spin_lock::IrqSpinLock;

/// Most threads at a time, idle threads included.
pub const MAX_THREADS: usize = 8192;

/// Threads by number. A non-null entry holds one count of the thread's `Arc`, given up when the thread has ended and left
/// its stack.
static TABLE: [AtomicPtr<Thread>; MAX_THREADS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_THREADS];
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Number of threads that have ended and are still in the table.
static ENDED_COUNT: AtomicUsize = AtomicUsize::new(0);
/// Where the search for a free number starts.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Enters the thread that `make` builds for a free number; `None` when there is none.
pub(super) fn enter(make: impl FnOnce(Tid) -> Thread) -> Option<Arc<Thread>> {
    let start = NEXT.fetch_add(1, SeqCst);
    let free = (0..MAX_THREADS).map(|step| (start + step) % MAX_THREADS).find(|index| {
        TABLE[*index].compare_exchange(core::ptr::null_mut(), placeholder(), SeqCst, SeqCst).is_ok()
    });
    let index = free?;
    let tid = Tid::new(index as u32).expect("the table is smaller than the largest number");
    let thread = Arc::new(make(tid));
    TABLE[index].store(Arc::into_raw(thread.clone()).cast_mut(), SeqCst);
    COUNT.fetch_add(1, SeqCst);
    Some(thread)
}

/// Gives up the table's hold on an ended thread that no CPU runs on any more.
pub(super) fn forget(tid: Tid) {
    let thread = {
        let _no_reader = LEAVING.lock();
        TABLE[tid.index()].swap(core::ptr::null_mut(), SeqCst)
    };
    COUNT.fetch_sub(1, SeqCst);
    // SAFETY: `enter` put the count of one `Arc` there, and the swap took it out exactly once.
    let thread = unsafe { Arc::from_raw(thread.cast_const()) };
    // Now, although others may still hold the record: they may drop it under a lock inside of which no stack can be freed.
    drop(thread.take_stack());
    drop(thread);
    ENDED_COUNT.fetch_sub(1, SeqCst);
}

/// Counts the calling thread, which has run its entry function, as ended.
pub(super) fn note_ended() {
    ENDED_COUNT.fetch_add(1, SeqCst);
}

/// Returns the thread numbered `tid`, which must be queued or running: such threads are in the table.
#[inline]
pub(super) fn get(tid: Tid) -> &'static Thread {
    let thread = TABLE[tid.index()].load(SeqCst);
    assert!(!thread.is_null(), "thread {tid} is in a queue but has ended");
    // SAFETY: as in `thread::current`: queued threads have not ended, so the table keeps them.
    unsafe { &*thread }
}

/// Held while a thread's record leaves the table, and while a record is looked up by a caller that does not keep it alive.
static LEAVING: IrqSpinLock<()> = IrqSpinLock::of(LockClass::LEAVING_THREADS, ());

/// Returns the thread numbered `index`, if there is one.
pub(super) fn at(index: usize) -> Option<Arc<Thread>> {
    let _no_removal = LEAVING.lock();
    let thread = TABLE.get(index)?.load(SeqCst);
    // SAFETY: an entry is null, or marks a number as taken, or points to a thread of which the table holds a count:
    // that stays until `forget` takes the pointer out, which waits for the lock.
    (!thread.is_null() && thread != placeholder()).then(|| unsafe { &*thread }.arc())
}

/// A search through all threads.
pub(super) type TableSearch = Sweep<MAX_THREADS>;

/// Entries that one step of a search looks at.
const SEARCH_STEP: usize = 64;

/// Goes one step on with `search`, up to the first thread that `wanted` accepts, and returns that.
pub(super) fn find(search: &mut TableSearch, wanted: impl Fn(&Thread) -> bool) -> Option<Tid> {
    let _no_removal = LEAVING.lock();
    for _ in 0..SEARCH_STEP {
        let index = search.step(1).next()?;
        let thread = TABLE[index].load(SeqCst);
        // SAFETY: an entry is null, or marks a number as taken, or points to a thread of which the table holds a count:
        // that stays until `forget` takes the pointer out, which waits for the lock.
        if !thread.is_null() && thread != placeholder() && wanted(unsafe { &*thread }) {
            return Tid::new(index as u32);
        }
    }
    None
}

/// Returns the thread that the CPU of `block` runs; `None` if it runs none yet.
pub(super) fn current_on(block: &percpu::PerCpu) -> Option<Arc<Thread>> {
    let _no_removal = LEAVING.lock();
    let thread = block.current().cast::<Thread>();
    // SAFETY: a CPU's current thread is in the table. It is taken out only after it has ended, when it is not the current
    // one, by a CPU that waits for the lock.
    (!thread.is_null()).then(|| unsafe { &*thread }.arc())
}

/// Marks a number as taken while its thread is being built.
fn placeholder() -> *mut Thread {
    core::ptr::dangling_mut()
}

/// Returns the number of threads, idle ones included.
pub fn thread_count() -> usize {
    COUNT.load(SeqCst)
}

/// Returns the number of threads that have ended and are not freed yet.
pub fn ended_count() -> usize {
    ENDED_COUNT.load(SeqCst)
}

/// Returns the name of the thread numbered `tid`, if there is one: for reports about a broken machine.
///
/// # Safety
/// Every other CPU is stopped for good, and the calling one frees no threads any more.
pub unsafe fn name_while_stopped(tid: u32) -> Option<&'static str> {
    let thread = TABLE.get(tid as usize)?.load(SeqCst);
    // SAFETY: an entry is null, or marks a number as taken, or points to a thread of which the table holds a count. By the
    // caller's promise no CPU takes it out any more. A CPU that was stopped while doing so had emptied the entry first.
    (!thread.is_null() && thread != placeholder()).then(|| unsafe { &*thread }.name())
}

/// Links of the list of dead threads.
pub(super) struct RunLinks;
/// Links of wait queues.
pub(super) struct WaitLinks;

/// All threads, for run queues.
pub(super) struct AllThreads;
/// All threads, for timer queues.
pub(super) struct TimerNodes;

impl Entities for AllThreads {
    #[inline(always)]
    fn entity(&self, tid: Tid) -> &Entity {
        &get(tid).entity
    }
}

impl HeapNodes for TimerNodes {
    #[inline(always)]
    fn node(&self, tid: Tid) -> &HeapNode {
        get(tid).timer_node()
    }
}

impl Links for RunLinks {
    #[inline(always)]
    fn link(&self, tid: Tid) -> &Link {
        &get(tid).run_link
    }
}

impl Links for WaitLinks {
    #[inline(always)]
    fn link(&self, tid: Tid) -> &Link {
        &get(tid).wait_link
    }
}
