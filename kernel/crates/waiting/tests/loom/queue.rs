//! Wait queues, completions, semaphores.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::thread;
use runqueue::List;
use waiting::{Completion, Semaphore, WaitQueue};

use crate::world::{DEADLINE, Lock, World, model};

fn queue() -> Arc<WaitQueue<Lock<List>>> {
    Arc::new(WaitQueue::new(Lock::new(List::new())))
}

/// The condition is Relaxed: it is the queue that has to order it.
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
fn two_that_wait_are_both_woken_one_by_one() {
    model(|| {
        let (world, queue, left) = (World::new(), queue(), Arc::new(AtomicUsize::new(0)));
        let take =
            |left: &AtomicUsize| left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        let other = thread::spawn({
            let (me, queue, left) = (world.seen_by(1), queue.clone(), left.clone());
            move || assert!(queue.wait(&me, || take(&left), None))
        });
        let waker = thread::spawn({
            let (me, queue, left) = (world.seen_by(2), queue.clone(), left.clone());
            move || {
                for _ in 0..2 {
                    left.fetch_add(1, Relaxed);
                    queue.wake_one(&me);
                }
            }
        });
        assert!(queue.wait(&world.seen_by(0), || take(&left), None));
        other.join().unwrap();
        waker.join().unwrap();
        assert_eq!(left.load(Relaxed), 0);
    });
}

/// A deadline and a waker at the same time: the wait ends, says truly whether the condition held, and leaves nobody in
/// the queue, nor a wake-up in somebody's pocket that a later wait would take for its own.
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
            move || world.come_to_deadline()
        });
        let me = world.seen_by(0);
        let held = queue.wait(&me, || is_true.load(Relaxed), Some(DEADLINE));
        waker.join().unwrap();
        timer.join().unwrap();
        // The next wait is for something else: it must not end before that has come.
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
        // Not held: the deadline came, and the condition was looked at after that.
        assert!(held || is_true.load(Relaxed));
    });
}

#[test]
fn a_deadline_alone_ends_the_wait() {
    model(|| {
        let (world, queue) = (World::new(), queue());
        let timer = thread::spawn({
            let world = world.clone();
            move || world.come_to_deadline()
        });
        let me = world.seen_by(0);
        assert!(!queue.wait(&me, || false, Some(DEADLINE)));
        timer.join().unwrap();
        // Nobody is left in the queue who would be woken in the place of one that waits.
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
fn a_completion_lets_everybody_go_on_and_shows_what_was_done() {
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

/// Two take one permit in turns, and one gives up when the deadline comes: the permit is never doubled nor lost.
#[test]
fn a_semaphore_neither_loses_nor_doubles_a_permit() {
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
            move || world.come_to_deadline()
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
        assert!(!permits.try_acquire(), "there are two");
    });
}
