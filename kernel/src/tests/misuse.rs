//! Deliberate misuse of locks, threads and memory; `fault.misuse` chooses. Each ends a debug build by a panic that
//! names the invariant.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

use ktask::{HugePages, Job};
use params::registry::ZERO_POOL_PAGES;
use runqueue::CpuMask;
use spin::Once;
use workpool::Generation;

use crate::arch::irq::IrqGuard;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu;
use crate::arch::spin_lock::IrqSpinLock;
use crate::jobs::platform::Kernel;
use crate::mm::{mem_map, pages, zero_pool};
use crate::platform::nodes;
use crate::sched::mutex::Mutex;
use crate::sched::pool::{self, Item, Work, WorkAttrs};
use crate::sched::{self, JoinHandle};

/// All kinds of misuse, by their names in `fault.misuse`.
const ALL: [(&str, fn()); 19] = [
    ("lock-order", lock_order),
    ("lock-rank", lock_rank),
    ("lock-twice", lock_twice),
    ("unlock-elsewhere", unlock_elsewhere),
    ("interrupts-on", interrupts_on),
    ("block-locked", block_locked),
    ("yield-locked", yield_locked),
    ("block-uninterruptible", block_uninterruptible),
    ("job-locked", job_locked),
    ("mutex-order", mutex_order),
    ("mutex-twice", mutex_twice),
    ("mutex-stranger", mutex_stranger),
    ("mutex-of-caller", mutex_of_caller),
    ("join-self", join_self),
    ("wait-own-item", wait_own_item),
    ("flush-own-pool", flush_own_pool),
    ("write-after-free", write_after_free),
    ("write-clean-page", write_prezeroed_page),
    ("free-twice", free_twice),
];

/// Commits the misuse called `name`, one of the parameter's choices.
pub fn commit(name: &str) {
    if let Some((_, misuse)) = ALL.iter().find(|(known, _)| *known == name) {
        misuse();
    }
}

static FIRST: IrqSpinLock<u32> = IrqSpinLock::new(0);
static SECOND: IrqSpinLock<u32> = IrqSpinLock::new(0);

/// Takes two locks in one order, then in the other. No other thread takes them, so no deadlock happens.
fn lock_order() {
    let outer = FIRST.lock();
    drop(SECOND.lock());
    drop(outer);
    let outer = SECOND.lock();
    drop(FIRST.lock());
    drop(outer);
}

/// Takes two locks against the documented order, with no earlier example of the right order.
fn lock_rank() {
    let outer = IrqSpinLock::of(LockClass::ZONE, ());
    let inner = IrqSpinLock::of(LockClass::PAGE_CACHE, ());
    let _outer = outer.lock();
    drop(inner.lock());
}

fn lock_twice() {
    let _held = FIRST.lock();
    drop(FIRST.lock());
}

/// Makes a guard `Send`, which guards are not.
struct Smuggled<T>(T);

// SAFETY: none. This is wrong on purpose: the debug build has to find it.
unsafe impl<T> Send for Smuggled<T> {}

impl<T> Smuggled<T> {
    fn into_inner(self) -> T {
        self.0
    }
}

/// Releases a lock on another CPU than the one that took it.
fn unlock_elsewhere() {
    static PARCEL: AtomicPtr<Smuggled<crate::arch::spin_lock::IrqSpinLockGuard<'static, u32>>> =
        AtomicPtr::new(core::ptr::null_mut());
    let here = percpu::this_cpu().id().index();
    let Some(other) = sched::online_cpus().iter().find(|cpu| *cpu != here) else { return };
    // Bound to this CPU: on the other one, this thread would keep the spawned thread from running.
    if sched::set_affinity(sched::current(), &CpuMask::single(here)).is_err() {
        return;
    }
    let is_running = Arc::new(AtomicBool::new(false));
    let reports_running = is_running.clone();
    let thread = sched::spawn_on(CpuMask::single(other), "misuse/other", move || {
        reports_running.store(true, SeqCst);
        loop {
            let parcel = PARCEL.swap(core::ptr::null_mut(), SeqCst);
            if !parcel.is_null() {
                // SAFETY: `Box::into_raw` below made the pointer, and the swap takes it only once.
                drop(unsafe { Box::from_raw(parcel) }.into_inner());
                return;
            }
        }
    });
    let Ok(_thread) = thread else { return };
    while !is_running.load(SeqCst) {
        sched::yield_now();
    }
    let parcel = Box::new(Smuggled(FIRST.lock()));
    PARCEL.store(Box::into_raw(parcel), SeqCst);
    loop {
        core::hint::spin_loop();
    }
}

/// Enables interrupts while a lock is held that an interrupt handler might take.
fn interrupts_on() {
    let guard = FIRST.lock();
    x86_64::instructions::interrupts::enable();
    drop(guard);
}

fn block_locked() {
    let _held = FIRST.lock();
    sched::sleep_ns(1_000_000);
}

fn yield_locked() {
    let _held = FIRST.lock();
    sched::yield_now();
}

fn block_uninterruptible() {
    let _irq = IrqGuard::new();
    sched::sleep_ns(1_000_000);
}

fn job_locked() {
    let _held = FIRST.lock();
    run_job(1, || {});
}

/// Runs a job of `threads` chunks, with `work` in each.
fn run_job(threads: u64, work: impl Fn() + Sync) {
    let job = Job::new(HugePages::new(0)..HugePages::new(threads)).threads_exact(threads as usize);
    let result = job.run(&Kernel, |_| {
        work();
        Ok::<(), ()>(())
    });
    if result.is_err() {
        log::error!("a job that cannot fail has failed");
    }
}

fn mutex_order() {
    let (first, second) = (Mutex::new(()), Mutex::new(()));
    let outer = first.lock();
    drop(second.lock());
    drop(outer);
    let _outer = second.lock();
    drop(first.lock());
}

fn mutex_twice() {
    let mutex = Mutex::new(());
    let _held = mutex.lock();
    drop(mutex.lock());
}

/// Releases a mutex on a thread that does not own it.
fn mutex_stranger() {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    let guard = Smuggled(MUTEX.lock());
    let stranger = sched::spawn("misuse/stranger", move || drop(guard.into_inner()));
    if let Ok(stranger) = stranger {
        stranger.join();
    }
}

/// Takes a mutex in a helper while the job's caller holds it and waits for the helper.
fn mutex_of_caller() {
    let mutex = Mutex::new(());
    let _held = mutex.lock();
    let caller = sched::current().tid();
    let helper_came = AtomicBool::new(false);
    run_job(2, || {
        if sched::current().tid() == caller {
            while !helper_came.load(SeqCst) {
                sched::yield_now();
            }
        } else {
            helper_came.store(true, SeqCst);
            drop(mutex.lock());
        }
    });
}

fn join_self() {
    static OWN: Mutex<Option<JoinHandle>> = Mutex::new(None);
    let mut own = OWN.lock();
    let started = sched::spawn("misuse/self-joiner", || {
        let own = OWN.lock().take();
        if let Some(own) = own {
            own.join();
        }
    });
    let Ok(handle) = started else { return };
    *own = Some(handle.clone());
    drop(own);
    handle.join();
}

/// Makes a work item wait for its own generation, which it learns after it has started.
fn wait_own_item() {
    struct SelfWaiter {
        work: Work,
        own: Once<(Arc<dyn Item>, Generation)>,
    }
    impl Item for SelfWaiter {
        fn work(&self) -> &Work {
            &self.work
        }
        fn run(&self) {
            let (own, generation) = self.own.wait();
            pool::wait(own, *generation);
        }
    }
    let Some(unbound) = pool::unbound() else { return };
    let item = Arc::new(SelfWaiter { work: Work::new(), own: Once::new() });
    let handle: Arc<dyn Item> = item.clone();
    let Ok(generation) = unbound.submit(handle.clone(), WorkAttrs::new()) else { return };
    item.own.call_once(|| (handle.clone(), generation));
    pool::wait(&handle, generation);
}

fn flush_own_pool() {
    let Some(unbound) = pool::unbound() else { return };
    if let Ok((item, generation)) = pool::submit_fn(unbound, WorkAttrs::new(), || unbound.flush()) {
        pool::wait(&item, generation);
    }
}

/// Writes one byte of a freed page, then allocates the page again.
fn write_after_free() {
    const OFFSET: usize = 0x123;
    let Some(page) = pages::alloc(0) else { return };
    pages::free(page, 0);
    // SAFETY: the address is mapped (invariant 11). The write breaks invariant 12 on purpose: the debug build has to
    // find it.
    unsafe { mem_map::virt(page).add(OFFSET).write_volatile(0x5a) };
    // The cache returns this page first. If another thread allocates in between, it is among the next.
    for _ in 0..64 {
        let _kept = pages::alloc(0);
    }
}

/// Writes to a page in the pool of pre-zeroed pages.
fn write_prezeroed_page() {
    let node = nodes::current();
    while zero_pool::len(node) == 0 && ZERO_POOL_PAGES.get() > 0 {
        sched::sleep_ns(1_000_000);
    }
    let Some(page) = pages::alloc_zeroed() else { return };
    let word = mem_map::virt(page).cast::<u64>();
    zero_pool::put_back_unchecked(page);
    // SAFETY: as in `write_after_free`.
    unsafe { word.add(7).write_volatile(1) };
    for _ in 0..64 {
        let _kept = pages::alloc_zeroed();
    }
}

fn free_twice() {
    const FREED_ORDER: u8 = 3;
    let Some(block) = pages::alloc(FREED_ORDER) else { return };
    pages::free(block, FREED_ORDER);
    pages::free(block, FREED_ORDER);
}
