//! The size of a pool: pages that are given back at the same time.

use loom::sync::Arc;
use loom::thread;
use waiting::PoolSize;

use crate::world::model;

fn pool(total: u64, wanted: u64) -> Arc<PoolSize> {
    let pool = PoolSize::new();
    pool.add(total);
    pool.set_wanted(wanted);
    Arc::new(pool)
}

/// Of two pages that are given back, one too many is in the pool: one leaves.
#[test]
fn pages_given_back_together_never_leave_too_few() {
    model(|| {
        let pool = pool(3, 2);
        let other = thread::spawn({
            let pool = pool.clone();
            move || pool.shed(1)
        });
        let shed = pool.shed(1) + other.join().unwrap();
        assert_eq!((shed, pool.total()), (1, 2));
    });
}

/// The pool shrinks while a page is given back: it ends at what is wanted.
#[test]
fn shrinking_counts_what_leaves_meanwhile() {
    model(|| {
        let pool = pool(4, 4);
        let other = thread::spawn({
            let pool = pool.clone();
            move || pool.shed(1)
        });
        pool.set_wanted(2);
        let shed = pool.shed(4) + other.join().unwrap();
        assert_eq!((shed, pool.total()), (2, 2));
    });
}

/// More are wanted while a page is given back: it left before that, or stays.
#[test]
fn a_page_that_leaves_was_not_wanted() {
    model(|| {
        let pool = pool(3, 2);
        let other = thread::spawn({
            let pool = pool.clone();
            move || pool.shed(1)
        });
        pool.set_wanted(3);
        let missing = pool.wanted() - pool.total();
        pool.add(missing);
        let shed = other.join().unwrap();
        assert!(shed == 0 || missing == 1, "a page left after it was wanted");
        assert_eq!(pool.total(), 3);
    });
}
