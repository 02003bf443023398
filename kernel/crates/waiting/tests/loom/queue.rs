//! Wait queues, completions and semaphores.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::thread;
use runqueue::List;
use waiting::{Completion, Semaphore, WaitQueue};

use crate::world::{DEADLINE, Lock, World, model};

fn queue() -> Arc<WaitQueue<Lock<List>>> {
    Arc::new(WaitQueue::new(Lock::new(List::new())))
}

/// The condition is Relaxed: the queue has to order it.
#[test]
fn no_wake_up_is_lost() {
    model(|| {
        let (world, queue, is_true) = (World::new(), queue(), Arc::new(AtomicBool::new(false)));
        let waker = thread::spawn({
            let (me, queue, is_true) = (world.seen_by(1), queue.clone(), is_true.clone());
            move || {
                is_true.store(true, Relaxed);
                queue.wake_all(&me);
            }
        });
        assert!(queue.wait(&world.seen_by(0), || is_true.load(Relaxed), None));
        waker.join().unwrap();
    });
}

#[test]
fn wake_one_twice_wakes_two_threads() {
    model(|| {
        let (world, queue, permits) = (World::new(), queue(), Arc::new(AtomicUsize::new(0)));
        let take = |permits: &AtomicUsize| {
            permits.fetch_update(Relaxed, Relaxed, |permits| permits.checked_sub(1)).is_ok()
        };
        let other = thread::spawn({
            let (me, queue, permits) = (world.seen_by(1), queue.clone(), permits.clone());
            move || assert!(queue.wait(&me, || take(&permits), None))
        });
        let waker = thread::spawn({
            let (me, queue, permits) = (world.seen_by(2), queue.clone(), permits.clone());
            move || {
                for _ in 0..2 {
                    permits.fetch_add(1, Relaxed);
                    queue.wake_one(&me);
                }
            }
        });
        assert!(queue.wait(&world.seen_by(0), || take(&permits), None));
        other.join().unwrap();
        waker.join().unwrap();
        assert_eq!(permits.load(Relaxed), 0);
    });
}

/// The deadline passes while a waker wakes the thread. The wait ends and reports correctly whether the condition held. It
/// leaves no thread in the queue, and no wake-up that a later wait would consume.
#[test]
fn a_deadline_and_a_waker_end_one_wait() {
    model(|| {
        let (world, queue, is_true) = (World::new(), queue(), Arc::new(AtomicBool::new(false)));
        let waker = thread::spawn({
            let (me, queue, is_true) = (world.seen_by(1), queue.clone(), is_true.clone());
            move || {
                is_true.store(true, Relaxed);
                queue.wake_one(&me);
            }
        });
        let timer = thread::spawn({
            let world = world.clone();
            move || world.pass_deadline()
        });
        let me = world.seen_by(0);
        let held = queue.wait(&me, || is_true.load(Relaxed), Some(DEADLINE));
        waker.join().unwrap();
        timer.join().unwrap();
        // The next wait has another condition, and must not end before that holds.
        let again = Arc::new(AtomicBool::new(false));
        let next = thread::spawn({
            let (me, queue, again) = (world.seen_by(2), queue.clone(), again.clone());
            move || {
                again.store(true, Relaxed);
                queue.wake_all(&me);
            }
        });
        assert!(queue.wait(&me, || again.load(Relaxed), None));
        next.join().unwrap();
        // A wait that timed out evaluated the condition after the deadline.
        assert!(held || is_true.load(Relaxed));
    });
}

#[test]
fn a_deadline_alone_ends_the_wait() {
    model(|| {
        let (world, queue) = (World::new(), queue());
        let timer = thread::spawn({
            let world = world.clone();
            move || world.pass_deadline()
        });
        let me = world.seen_by(0);
        assert!(!queue.wait(&me, || false, Some(DEADLINE)));
        timer.join().unwrap();
        // No thread is left in the queue that would be woken instead of the waiting one.
        let is_true = Arc::new(AtomicBool::new(false));
        let next = thread::spawn({
            let (me, queue, is_true) = (world.seen_by(1), queue.clone(), is_true.clone());
            move || assert!(queue.wait(&me, || is_true.load(Relaxed), None))
        });
        is_true.store(true, Relaxed);
        queue.wake_one(&me);
        next.join().unwrap();
    });
}

#[test]
fn a_completion_wakes_all_and_publishes_earlier_writes() {
    model(|| {
        let world = World::new();
        let done = Arc::new(Completion::new(Lock::new(List::new())));
        let result = Arc::new(AtomicUsize::new(0));
        let threads = [1, 2].map(|number| {
            let (me, done, result) = (world.seen_by(number), done.clone(), result.clone());
            thread::spawn(move || {
                if number == 1 {
                    result.store(7, Relaxed);
                    done.complete(&me);
                } else {
                    done.wait(&me);
                    assert_eq!(result.load(Relaxed), 7);
                }
            })
        });
        done.wait(&world.seen_by(0));
        assert_eq!(result.load(Relaxed), 7);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Two threads share one permit, and one gives up at its deadline. The permit is neither duplicated nor lost.
#[test]
fn a_semaphore_neither_loses_nor_duplicates_a_permit() {
    model(|| {
        let world = World::new();
        let permits = Arc::new(Semaphore::new(1, Lock::new(List::new())));
        let inside = Arc::new(AtomicUsize::new(0));
        let other = thread::spawn({
            let (me, permits, inside) = (world.seen_by(1), permits.clone(), inside.clone());
            move || {
                assert!(permits.acquire(&me, None));
                assert_eq!(inside.fetch_add(1, Relaxed), 0);
                inside.fetch_sub(1, Relaxed);
                permits.release(&me);
            }
        });
        let timer = thread::spawn({
            let world = world.clone();
            move || world.pass_deadline()
        });
        let me = world.seen_by(0);
        if permits.acquire(&me, Some(DEADLINE)) {
            assert_eq!(inside.fetch_add(1, Relaxed), 0);
            inside.fetch_sub(1, Relaxed);
            permits.release(&me);
        }
        other.join().unwrap();
        timer.join().unwrap();
        assert!(permits.try_acquire(), "the permit is lost");
        assert!(!permits.try_acquire(), "there are two permits");
    });
}

/// A thread that comes later does not take the permit that was released for the waiting one.
#[test]
fn a_released_permit_goes_to_the_thread_that_waits() {
    model(|| {
        let world = World::new();
        let permits = Arc::new(Semaphore::new(0, Lock::new(List::new())));
        let has_acquired = Arc::new(AtomicBool::new(false));
        let other = thread::spawn({
            let (me, permits, has_acquired) = (world.seen_by(1), permits.clone(), has_acquired.clone());
            move || {
                assert!(permits.acquire(&me, None));
                has_acquired.store(true, Relaxed);
                permits.release(&me);
            }
        });
        while !world.is_parked(1) {
            thread::yield_now();
        }
        let me = world.seen_by(0);
        permits.release(&me);
        let is_taken = permits.try_acquire();
        // Unless the other thread has released it again.
        let is_stolen = is_taken && !has_acquired.load(Relaxed);
        assert!(!is_stolen, "the permit of a waiting thread was taken");
        if is_taken {
            permits.release(&me);
        }
        other.join().unwrap();
        assert!(permits.try_acquire() && !permits.try_acquire(), "there is not one permit");
    });
}
