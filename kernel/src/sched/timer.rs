//! The one-shot timer of each CPU, and the sleepers that it wakes. A CPU without deadline or slice end has its timer off:
//! there is no tick.

use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};

use runqueue::UnparkAction;

use super::account::NO_CPU;
use super::cpus::{self, Cpu, here};
use super::table::{self, TimerNodes};
use super::thread::Thread;
use super::timer_queue::NEVER;
use crate::arch::chaos::{self, Point};
use crate::arch::irq::IrqGuard;
use crate::arch::{apic, tsc};

/// In [`Thread::timer_cpu`]: on the way from one timer queue to another.
const MOVING: usize = NO_CPU - 1;
/// The furthest deadline, 146 years from now, stands for never. (Keys of one heap are within 2^63 of each other.)
const FURTHEST_NS: u64 = 1 << 62;

/// Has the calling CPU wake `thread`, the calling one, at `deadline_ns`. Interrupts are off.
pub fn add(thread: &Thread, deadline_ns: u64) {
    chaos::point(Point::TimerArm);
    let (cpu, id) = here();
    let timers = &cpu.timers;
    let mut sleepers = timers.sleepers.lock();
    thread.timer_node().set_key(deadline_ns.min(FURTHEST_NS));
    sleepers.push(&TimerNodes, thread.tid());
    thread.timer_cpu.store(id.index(), SeqCst);
    timers.publish_earliest(&sleepers);
    drop(sleepers);
    program(cpu);
}

/// Removes the calling `thread`'s deadline, if it has not passed.
pub fn remove(thread: &Thread) {
    chaos::point(Point::TimerCancel);
    loop {
        // Only the thread itself sets a deadline; CPUs clear it, or move it to another queue.
        let cpu = thread.timer_cpu.load(SeqCst);
        if cpu == NO_CPU {
            return;
        }
        if cpu == MOVING {
            // Another CPU moves it, with interrupts off: that is done at once.
            core::hint::spin_loop();
            continue;
        }
        let timers = &cpus::get(cpu).timers;
        let mut sleepers = timers.sleepers.lock();
        if thread.timer_cpu.load(SeqCst) == cpu {
            sleepers.remove(&TimerNodes, thread.tid());
            thread.timer_cpu.store(NO_CPU, SeqCst);
            timers.publish_earliest(&sleepers);
            return;
        }
    }
}

/// Deadlines that one interrupt handles: what keeps interrupts off ends after that many.
const EXPIRE_BATCH: usize = 2;
/// Deadlines that move to another CPU with interrupts off.
const MOVE_BATCH: usize = 4;

/// Calls `wake` for the first sleeping threads whose deadline on the calling CPU `cpu` has passed; `wake` queues the thread.
/// The timer is off then, until it is [programmed](program): if more deadlines have passed, it fires at once, and other
/// interrupts are taken before. Allocates nothing.
pub fn expire(cpu: &Cpu, mut wake: impl FnMut(&Thread)) {
    let timers = &cpu.timers;
    // Relaxed, here and below: only this CPU uses it.
    timers.armed_ns.store(NEVER, Relaxed);
    let now_ns = tsc::now_ns();
    for _ in 0..EXPIRE_BATCH {
        let mut sleepers = timers.sleepers.lock();
        let due =
            sleepers.first().filter(|_| sleepers.first_key(&TimerNodes).is_some_and(|key| key <= now_ns));
        let Some(tid) = due else {
            timers.publish_earliest(&sleepers);
            return;
        };
        sleepers.remove(&TimerNodes, tid);
        let thread = table::get(tid);
        // A throttled thread is not in `park`. Its group's overrun may use up another period too. Then the thread must not
        // even begin to run: a late timer would let it run beyond the quota.
        let is_throttled = thread.is_throttled.load(SeqCst);
        if is_throttled && thread.group().is_used_up(now_ns) && !thread.is_beyond_quota() {
            thread.timer_node().set_key(thread.group().throttle(now_ns));
            sleepers.push(&TimerNodes, tid);
            continue;
        }
        thread.is_throttled.store(false, SeqCst);
        let wakes = is_throttled || thread.park.cancel_park() == UnparkAction::Wake;
        // Last: an awake thread that finds this cleared may end at once. A sleeping one cannot: only this CPU wakes it.
        thread.timer_cpu.store(NO_CPU, SeqCst);
        // Waking takes a run queue's lock, which comes before this one in the lock order.
        drop(sleepers);
        if wakes {
            wake(thread);
        }
    }
    timers.publish_earliest(&timers.sleepers.lock());
}

/// Takes away the deadline of a throttled `thread`, which is then not throttled any more. Returns whether it did: then the
/// caller queues the thread.
pub fn take_throttled(thread: &Thread) -> bool {
    loop {
        let cpu = thread.timer_cpu.load(SeqCst);
        if cpu == NO_CPU || !thread.is_throttled.load(SeqCst) {
            return false;
        }
        if cpu == MOVING {
            // Another CPU moves it, with interrupts off: that is done at once.
            core::hint::spin_loop();
            continue;
        }
        let timers = &cpus::get(cpu).timers;
        let mut sleepers = timers.sleepers.lock();
        if thread.timer_cpu.load(SeqCst) == cpu && thread.is_throttled.load(SeqCst) {
            sleepers.remove(&TimerNodes, thread.tid());
            thread.is_throttled.store(false, SeqCst);
            thread.timer_cpu.store(NO_CPU, SeqCst);
            timers.publish_earliest(&sleepers);
            return true;
        }
    }
}

/// Moves every deadline of CPU number `from` to the CPU of the caller, which may change meanwhile. Does nothing where that
/// is CPU `from`. Interrupts are on: they are off for a few deadlines at a time.
pub fn move_all(from: usize) {
    loop {
        let _irq = IrqGuard::new();
        let (_, here) = here();
        if here.index() == from || !move_some(from, here.index()) {
            return;
        }
    }
}

/// Moves the first deadlines of CPU number `from` to the calling CPU, number `to`. Returns whether more are left.
/// Interrupts are off.
fn move_some(from: usize, to: usize) -> bool {
    let (from, timers) = (&cpus::get(from).timers, &cpus::get(to).timers);
    let mut is_left = true;
    for _ in 0..MOVE_BATCH {
        let mut sleepers = from.sleepers.lock();
        let tid = sleepers.pop(&TimerNodes);
        from.publish_earliest(&sleepers);
        let Some(tid) = tid else {
            is_left = false;
            break;
        };
        // The thread lives meanwhile: it does not return from `remove` while `timer_cpu` is `MOVING`.
        let thread = table::get(tid);
        thread.timer_cpu.store(MOVING, SeqCst);
        drop(sleepers);
        let mut sleepers = timers.sleepers.lock();
        sleepers.push(&TimerNodes, tid);
        thread.timer_cpu.store(to, SeqCst);
        timers.publish_earliest(&sleepers);
    }
    program(cpus::get(to));
    is_left
}

/// Whether CPU number `cpu` has no deadline.
pub fn is_empty(cpu: usize) -> bool {
    cpus::get(cpu).timers.sleepers.lock().is_empty()
}

/// Sets the timer of `cpu`, the calling one, to its next deadline or slice end. Interrupts are off.
pub fn program(cpu: &Cpu) {
    let timers = &cpu.timers;
    fire_by(cpu, timers.earliest_ns.load(SeqCst).min(cpu.next_resched_ns()));
}

/// Has the timer of `cpu`, the calling one, fire at `deadline_ns` at the latest. Interrupts are off.
#[inline(always)]
pub fn fire_by(cpu: &Cpu, deadline_ns: u64) {
    // An interrupt that comes too early finds nothing to do and sets the timer again: cheaper than setting it later now.
    if deadline_ns < cpu.timers.armed_ns.load(Relaxed) {
        arm(cpu, deadline_ns);
    }
}

#[cold]
fn arm(cpu: &Cpu, deadline_ns: u64) {
    cpu.timers.armed_ns.store(deadline_ns, Relaxed);
    apic::local().arm_timer(deadline_ns);
}
