//! Page slots: a page that threads provide and remove concurrently.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use runqueue::List;
use waiting::page_slot::Found;
use waiting::{PageSlot, WaitQueue};

use crate::world::{Lock, Me, World, model};

const PAGE: u64 = 40;

/// A slot, the threads that wait for it, and a pool with a page or two.
struct File {
    slot: PageSlot,
    waiting: WaitQueue<Lock<List>>,
    in_pool: AtomicUsize,
}

impl File {
    fn new(in_pool: usize) -> Arc<Self> {
        Arc::new(Self {
            slot: PageSlot::new(),
            waiting: WaitQueue::new(Lock::new(List::new())),
            in_pool: AtomicUsize::new(in_pool),
        })
    }

    /// Handles a page fault. Returns whether it provided the page, or an error if the pool is empty.
    fn fault(&self, me: &Me) -> Result<bool, ()> {
        self.slot.provide(&self.waiting, me, || {
            let taken = self.in_pool.fetch_update(Relaxed, Relaxed, |pages| pages.checked_sub(1));
            taken.map(|_| PAGE).map_err(|_| ())
        })
    }

    /// Punches a hole. Returns whether there was a page.
    fn punch(&self, me: &Me) -> bool {
        loop {
            match self.slot.hold_page() {
                Ok(page) => {
                    assert_eq!(page, PAGE);
                    // Here all CPUs flush; no thread can hold the slot meanwhile.
                    assert_eq!(self.slot.look(), Found::Busy);
                    self.in_pool.fetch_add(1, Relaxed);
                    self.slot.leave(None, &self.waiting, me);
                    return true;
                }
                Err(Found::Busy) => self.slot.wait(&self.waiting, me),
                Err(_) => return false,
            }
        }
    }

    fn pages(&self) -> usize {
        self.in_pool.load(Relaxed) + usize::from(self.slot.page().is_some())
    }
}

#[test]
fn one_of_two_faults_provides_the_page() {
    model(|| {
        let (world, file) = (World::new(), File::new(2));
        let other = thread::spawn({
            let (me, file) = (world.seen_by(1), file.clone());
            move || file.fault(&me).unwrap()
        });
        let mine = file.fault(&world.seen_by(0)).unwrap();
        let others = other.join().unwrap();
        assert!(mine != others, "both or neither provided the page");
        assert_eq!((file.pages(), file.slot.page()), (2, Some(PAGE)));
    });
}

#[test]
fn faults_and_a_hole_do_not_lose_pages() {
    model(|| {
        let (world, file) = (World::new(), File::new(1));
        let fault = thread::spawn({
            let (me, file) = (world.seen_by(1), file.clone());
            move || file.fault(&me)
        });
        let punch = thread::spawn({
            let (me, file) = (world.seen_by(2), file.clone());
            move || file.punch(&me)
        });
        // The pool may be empty here: the page is in the slot, or on its way back.
        let _ = file.fault(&world.seen_by(0));
        let _ = fault.join().unwrap();
        punch.join().unwrap();
        assert_eq!(file.pages(), 1);
        assert_ne!(file.slot.look(), Found::Busy);
    });
}

/// A thread that waits while another fails to provide a page then tries itself.
#[test]
fn a_failed_fault_leaves_no_thread_waiting() {
    model(|| {
        let (world, file) = (World::new(), File::new(0));
        let other = thread::spawn({
            let (me, file) = (world.seen_by(1), file.clone());
            move || file.fault(&me)
        });
        assert_eq!(file.fault(&world.seen_by(0)), Err(()));
        assert_eq!(other.join().unwrap(), Err(()));
        assert_eq!(file.slot.look(), Found::Empty);
    });
}
