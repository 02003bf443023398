//! The frame of a job's caller, lent to helpers.
//!
//! # Why a helper may use data on the caller's stack
//!
//! [`scope`] puts a [`Frame`] on the caller's stack. A [`HelperTask`] does not point to it: a task
//! is the number of a *generation* of a [`HelperCell`], which is static. The cell's word tells
//! which generation it has and in which [`State`]:
//!
//! ```text
//!              Helpers::task            HelperTask::run         Begun::drop
//! Idle, Done, Lost --------> Queued ------------------> Running -----------> Done
//!       (generation + 1)      |  |                         |                  ^
//!                     revoke  |  | HelperTask::drop        | await_end        |
//!                             v  v                         v                  |
//!                          Idle  Lost                   Awaited --------------+
//! ```
//!
//! 1. A task uses the frame only if its own exchange changed (its generation, `Queued`) to
//!    `Running`. Each task has a generation that its cell had never before, so at most one exchange
//!    succeeds for it; and while the state is `Running` or `Awaited` nothing but the end of this
//!    helper changes the generation or the pointer in the cell.
//! 2. `scope` neither returns nor unwinds before each of its cells is neither `Queued` nor `Running`
//!    nor `Awaited`: the destructor of [`JoinGuard`] revokes tasks that have not begun, and waits
//!    for helpers that run. A task that was revoked finds another word for ever, wherever the
//!    platform keeps it. Only the body of `scope` makes tasks, so there is no new one after that.
//! 3. The change to `Done` is a helper's last access to the frame. If the caller has to be woken, its
//!    thread handle and the platform are copied *before* it.
//! 4. All changes of the word are `Release`, and `Acquire` on success, and so is the caller's read of
//!    `Done`. So all accesses of helpers to borrowed data happen before `scope` returns.
//!
//! So a caller waits for no task that has not begun: a platform may keep it, lose it, drop it or run
//! it years later, on any thread. It waits for helpers that run. A helper waits in a platform's
//! methods, in the client's code, or in `scope` of a job that is nested deeper, which again waits only
//! for running helpers. So no cycle can form among jobs, and [`Platform`](crate::Platform) need not
//! be an unsafe trait.

use core::marker::PhantomData;

use super::cell::{CellList, Cells, HelperCell, State};
use super::parking::{AbortOnUnwind, Parking};

/// A helper's work, called with the helper's cell. It must not unwind; if it does, the state of the
/// cell is still correct.
type Work<'s> = dyn Fn(&'static HelperCell) + Sync + 's;

/// What helpers borrow of the caller. All of it may be used from any thread.
struct Frame<'s, P: Parking> {
    platform: &'s P,
    /// The thread to wake when a helper ends that the caller waits for.
    caller: &'s P::Thread,
    work: &'s Work<'s>,
}

/// A helper's part of a job. It is run once, on a thread that is not the job's caller.
///
/// [`run`](Self::run) it soon, or drop it. If neither happens before the caller has no work left,
/// the task becomes void: the job does not wait for it, and to run it then does nothing. So a
/// platform may keep tasks in a queue for as long as it likes.
///
/// A task holds no borrow. It is the number of a state in a [`HelperCell`], which is static, and it
/// uses the caller's frame only if the caller has not taken the state back. It is two words, never
/// allocates, and may be sent to any thread. `P` is any [`Platform`](crate::Platform).
#[must_use = "a task that is not run is a lost helper"]
pub struct HelperTask<P: Parking> {
    cell: &'static HelperCell,
    generation: u64,
    platform: PhantomData<fn(P)>,
}

impl<P: Parking> HelperTask<P> {
    /// Works for the job until no work is left, the job has enough helpers, or it has failed. Does
    /// nothing if the job needs the task no more. The calling thread should have the lowest weight.
    pub fn run(self) {
        if !self.cell.change(self.generation, State::Queued, State::Running) {
            return;
        }
        let begun = Begun::<P> { cell: self.cell, generation: self.generation, platform: PhantomData };
        (begun.frame().work)(self.cell);
    }
}

impl<P: Parking> HelperTask<P> {
    /// Returns whether the job needs the task no more, so that [`run`](Self::run) would do nothing. That stays so.
    #[must_use]
    pub fn is_void(&self) -> bool {
        // A generation is queued once, so a word that has changed is never this one again.
        !self.cell.word().is(self.generation, State::Queued)
    }
}

impl<P: Parking> Drop for HelperTask<P> {
    fn drop(&mut self) {
        // A task that was run or revoked finds another word. Most are, and a look is cheaper than an exchange.
        if !self.is_void() {
            self.cell.change(self.generation, State::Queued, State::Lost);
        }
    }
}

impl<P: Parking> core::fmt::Debug for HelperTask<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HelperTask").finish_non_exhaustive()
    }
}

/// A task that has begun. Dropping it ends the task's use of the frame.
struct Begun<P: Parking> {
    cell: &'static HelperCell,
    generation: u64,
    platform: PhantomData<fn(P)>,
}

impl<P: Parking> Begun<P> {
    fn frame(&self) -> &Frame<'_, P> {
        // SAFETY: this task's exchange has succeeded, and the state is `Running` or `Awaited` until
        // `drop` changes it, after its last call of this. So the frame is alive, and the pointer is that
        // of this generation (steps 1 and 2). The type is right: a generation is made by
        // `Helpers<P>::task`, for a `HelperTask<P>`. Other threads have shared references only.
        unsafe { &*self.cell.frame().cast::<Frame<'_, P>>() }
    }
}

impl<P: Parking> Drop for Begun<P> {
    fn drop(&mut self) {
        if self.cell.change(self.generation, State::Running, State::Done) {
            return;
        }
        // The caller waits for this helper.
        let (platform, caller) = (self.frame().platform.clone(), P::Thread::clone(self.frame().caller));
        self.cell.set(self.generation, State::Done);
        platform.wake(&caller);
    }
}

/// Makes the tasks of one scope, takes them back, and waits for them. It belongs to the caller.
pub(crate) struct Helpers<'s, P: Parking> {
    frame: &'s Frame<'s, P>,
    cells: &'s Cells,
}

impl<P: Parking> Helpers<'_, P> {
    /// Adds a cell for another helper. Returns `None` if the platform has no free cell.
    pub(crate) fn add_cell(&self) -> Option<&'static HelperCell> {
        self.cells.add()
    }

    /// Returns the number of cells.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Returns the cells of all helpers so far.
    pub(crate) fn cells(&self) -> CellList {
        self.cells.list()
    }

    /// Makes a task that calls the scope's work with `cell`, a cell of this scope that is idle.
    pub(crate) fn task(&self, cell: &'static HelperCell) -> HelperTask<P> {
        assert!(
            cell.is_idle() && self.cells.has(cell),
            "a task for a cell that is not this job's, or in use"
        );
        let generation = cell.word().generation + 1;
        cell.set_frame(core::ptr::from_ref(self.frame).cast_mut().cast());
        cell.set(generation, State::Queued);
        HelperTask { cell, generation, platform: PhantomData }
    }

    /// Takes the cell's task back if it has not begun: it never begins then. Returns whether it had
    /// not.
    pub(crate) fn revoke(&self, cell: &HelperCell) -> bool {
        let word = cell.word();
        // Only the caller changes a state to `Queued`, so another one stays another.
        word.state == State::Queued && cell.change(word.generation, State::Queued, State::Idle)
    }

    /// Returns whether the cell's helper has begun and not ended.
    pub(crate) fn is_running(&self, cell: &HelperCell) -> bool {
        matches!(cell.word().state, State::Running | State::Awaited)
    }

    /// Waits until the cell's helper has ended, if it has begun. Then all its effects are visible.
    pub(crate) fn await_end(&self, cell: &HelperCell) {
        loop {
            let word = cell.word();
            match word.state {
                State::Running => _ = cell.change(word.generation, State::Running, State::Awaited),
                State::Awaited => self.frame.platform.sleep(),
                _ => return,
            }
        }
    }
}

/// Revokes or awaits every task when dropped, also during unwinding.
struct JoinGuard<'s, P: Parking> {
    helpers: &'s Helpers<'s, P>,
}

impl<P: Parking> Drop for JoinGuard<'_, P> {
    fn drop(&mut self) {
        // If the platform's `park` unwinds, the borrowed frame must not be left.
        let abort_on_unwind = AbortOnUnwind;
        for cell in self.helpers.cells() {
            if !self.helpers.revoke(cell) {
                self.helpers.await_end(cell);
            }
        }
        abort_on_unwind.disarm();
    }
}

/// Calls `body`, which may hand out tasks that call `work`, one at a time for each of `cells`.
/// Returns the result of `body`, after every task has ended or can no longer begin.
#[inline(always)]
pub(crate) fn scope<P: Parking, R>(
    platform: &P,
    caller: &P::Thread,
    cells: &Cells,
    work: &Work<'_>,
    body: impl FnOnce(&Helpers<'_, P>) -> R,
) -> R {
    let frame = Frame { platform, caller, work };
    let helpers = Helpers { frame: &frame, cells };
    let _join = JoinGuard { helpers: &helpers };
    body(&helpers)
}
