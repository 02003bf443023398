//! The size of a pool to which pages are returned concurrently.

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

/// Two pages are returned to a pool with one surplus page: one leaves.
#[test]
fn concurrent_returns_never_leave_too_few_pages() {
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

/// The pool shrinks while a page is returned: it ends at the wanted size.
#[test]
fn shrinking_counts_a_concurrent_return() {
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

/// The wanted size grows while a page is returned: the page left before that, or stays.
#[test]
fn a_page_that_leaves_was_a_surplus_page() {
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
