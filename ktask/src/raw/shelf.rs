//! Static memory that is lent to one user at a time.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
// Not the atomics of `sync`: a shelf is a static, and a model checker's atomics cannot.
use core::sync::atomic::{AtomicBool, Ordering};

/// Places for values that would take too much of a stack. No thread waits for one.
pub(crate) struct Shelf<T: 'static, const PLACES: usize> {
    places: [Place<T>; PLACES],
}

struct Place<T> {
    is_lent: AtomicBool,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: a place's value is used by the `Lent` alone that has changed `is_lent` to true, one at a time. So
// sharing a place only sends the value between threads, and `T: Send`.
unsafe impl<T: Send> Sync for Place<T> {}

impl<T: Send, const PLACES: usize> Shelf<T, PLACES> {
    /// Makes a shelf of empty places.
    pub(crate) const fn new() -> Self {
        Self {
            places: [const { Place { is_lent: AtomicBool::new(false), value: UnsafeCell::new(None) } };
                PLACES],
        }
    }

    /// Puts the result of `make` on a free place and lends it. Returns `None` if no place is free.
    ///
    /// Never inlined: the result may lie on the stack before it is on its place.
    #[inline(never)]
    pub(crate) fn lend(&'static self, make: impl FnOnce() -> T) -> Option<Lent<T>> {
        let place = self.places.iter().find(|place| {
            // Relaxed: a look that keeps threads from fighting for the line.
            // Acquire pairs with the Release in `Lent::drop`: the last user is done with the value.
            !place.is_lent.load(Ordering::Relaxed) && !place.is_lent.swap(true, Ordering::Acquire)
        })?;
        // If `make` unwinds, this frees the place.
        let lent = Lent { place };
        // SAFETY: `lent` is the place's only user. Nothing is lost: a place that is not lent is empty.
        // Not an assignment, which would drop what was there, and for that keep the new value on the stack.
        unsafe { place.value.get().write(Some(make())) };
        Some(lent)
    }
}

/// A value that lies on a shelf. Dropping it drops the value and frees the place.
pub(crate) struct Lent<T: 'static> {
    /// This value's, from the exchange of `is_lent` to the drop.
    place: &'static Place<T>,
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the place is this value's, and `&mut self` is needed for another reference.
        match unsafe { &*self.place.value.get() } {
            Some(value) => value,
            None => unreachable!("a place is filled when it is lent"),
        }
    }
}

impl<T> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the place is this value's, and `&mut self` excludes another reference.
        match unsafe { &mut *self.place.value.get() } {
            Some(value) => value,
            None => unreachable!("a place is filled when it is lent"),
        }
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: as in `deref_mut`.
        unsafe { *self.place.value.get() = None };
        // Release pairs with the Acquire in `lend`.
        self.place.is_lent.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::sync::Arc;
    use std::thread;

    use super::Shelf;

    #[test]
    fn each_place_has_one_user_and_is_used_again() {
        static SHELF: Shelf<u32, 2> = Shelf::new();
        let (mut first, second) = (SHELF.lend(|| 1).unwrap(), SHELF.lend(|| 2).unwrap());
        assert!(SHELF.lend(|| 3).is_none());
        *first += 10;
        assert_eq!((*first, *second), (11, 2));
        drop(first);
        assert_eq!(*SHELF.lend(|| 4).unwrap(), 4);
    }

    #[test]
    fn values_are_dropped_and_places_freed_whatever_unwinds() {
        static SHELF: Shelf<Arc<()>, 1> = Shelf::new();
        let value = Arc::new(());
        drop(SHELF.lend(|| value.clone()));
        assert_eq!(Arc::strong_count(&value), 1);
        let caught = std::panic::catch_unwind(|| drop(SHELF.lend(|| panic!("no value"))));
        assert!(caught.is_err());
        assert!(SHELF.lend(|| value.clone()).is_some());
    }

    #[test]
    fn threads_do_not_share_a_place() {
        static SHELF: Shelf<u32, 2> = Shelf::new();
        let rounds = if cfg!(miri) { 20 } else { 2_000 };
        let count = move || {
            let mut lent = 0;
            for _ in 0..rounds {
                let Some(mut value) = SHELF.lend(|| 0) else { continue };
                lent += 1;
                for expected in 0..10 {
                    assert_eq!(*value, expected);
                    *value += 1;
                }
            }
            lent
        };
        let threads: std::vec::Vec<_> = (0..3).map(|_| thread::spawn(count)).collect();
        let lent: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(lent >= rounds);
    }
}
