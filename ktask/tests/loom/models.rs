//! Properties that must hold in every order of events.

use loom::cell::Cell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::cursor::{Cursor, Cut, Extent, MaybeNode, Slot};
use crate::raw::{self, Cells, FirstOf, TurnLock};
use crate::scheduler::{self, Fate, Scheduler};
use crate::shared_cells::shared_cells;
use crate::{Cause, Chunk, Items, Job, Platform};

/// Explores a model with at most `preemptions` preemptions per run.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

/// One cell per unit, written by the worker that gets the unit. A unit that is handed out twice is
/// a race, which fails the model; a unit that is left out is found at the end.
struct Units(Vec<Cell<u32>>);

// SAFETY: the cells belong to the model checker, which fails the model when two accesses to a cell
// are unordered. So no run with a race goes on.
unsafe impl Sync for Units {}

impl Units {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| Cell::new(0)).collect())
    }

    fn add_one(&self, unit: usize) {
        self.0[unit].set(self.0[unit].get() + 1);
    }

    fn add(&self, chunk: &Chunk<Items>) {
        chunk.indices().for_each(|unit| self.add_one(unit as usize));
    }

    fn times(&self) -> Vec<u32> {
        self.0.iter().map(Cell::get).collect()
    }
}

/// Models a job over `units` units with helpers of these fates. Each unit is handed out once, all
/// writes of helpers are visible, the borrowed frame is not left early, no thread waits forever.
fn whole_job(units: u64, fates: &'static [Fate], preemptions: usize) {
    explore(preemptions, move || {
        let platform = Scheduler::new(fates);
        let seen = Units::new(units as usize);
        let stats = Job::new(Items::new(0)..Items::new(units))
            .threads_exact(fates.len() + 1)
            .run(&platform, |chunk| {
                seen.add(&chunk);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(seen.times(), vec![1; units as usize]);
        assert_eq!(stats.units, units);
        let (lent, returned) = platform.lent_and_returned();
        assert_eq!(lent, returned);
    });
}

/// Models a job of two units that offers one to a helper, with helpers of these fates, on a clock that
/// advances by `clock_step_ns` at each read.
fn job_with_offer(offers: &'static [Fate], fates: &'static [Fate], clock_step_ns: u64) {
    explore(2, move || {
        let platform = Scheduler::with_offers(fates, offers, clock_step_ns);
        let seen = Units::new(2);
        let stats = Job::new(Items::new(0)..Items::new(2))
            .max_threads(2)
            .run(&platform, |chunk| {
                seen.add(&chunk);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(seen.times(), vec![1; 2]);
        assert_eq!(stats.units, 2);
        assert_eq!(platform.budget().in_use(), 0);
    });
}

#[test]
fn offer_that_a_helper_takes() {
    // The rest of the job never seems worth a helper, so only the offer brings one.
    job_with_offer(&[Fate::Queued], &[Fate::Refused], 0);
}

#[test]
fn offer_that_is_retracted_for_a_helper() {
    // After its first chunk the caller starts a helper, whether the offer was taken by then or not.
    job_with_offer(&[Fate::Queued], &[Fate::Runs], 1_000_000);
}

#[test]
fn offer_that_is_lost() {
    job_with_offer(&[Fate::Lost], &[Fate::Runs], 1_000_000);
}

#[test]
fn parts_of_a_slice_are_exclusive_and_seen_by_the_caller() {
    explore(2, || {
        let platform = Scheduler::new(&[Fate::Runs]);
        let mut slice: Vec<Cell<u32>> = (0..3).map(|_| Cell::new(0)).collect();
        Job::new(0..slice.len())
            .threads_exact(2)
            .for_each_mut(&platform, &mut slice, |_chunk, part| {
                part.iter().for_each(|cell| cell.set(cell.get() + 1));
            })
            .unwrap();
        assert!(slice.iter().all(|cell| cell.get() == 1));
    });
}

#[test]
fn claims_are_disjoint_and_complete() {
    explore(2, || {
        let slot = Arc::new(Slot::new(3));
        let worker = {
            let slot = slot.clone();
            move || {
                let cursor = Cursor::new(&slot, Extent { start: 3, end: 8, node: MaybeNode::NONE });
                let cut = Cut { min: 1, max: u64::MAX, align: 2 };
                let claim = || Some(cursor.claim(2, &cut)).filter(|(start, end)| start < end);
                core::iter::from_fn(claim).collect::<Vec<_>>()
            }
        };
        let others = [thread::spawn(worker.clone()), thread::spawn(worker.clone())];
        let mut seen = worker();
        for other in others {
            seen.extend(other.join().unwrap());
        }
        seen.sort_unstable();
        assert_eq!((seen[0].0, seen[seen.len() - 1].1), (3, 8));
        assert!(seen.windows(2).all(|pair| pair[0].1 == pair[1].0), "{seen:?}");
    });
}

#[test]
fn lock_excludes_and_no_waiter_is_forgotten() {
    explore(2, || {
        let lock = Arc::new(TurnLock::new((0, 0), 0));
        let add = {
            let lock = lock.clone();
            move || {
                let platform = Scheduler::new(&[]);
                lock.with(&platform, |both| {
                    both.0 += 1;
                    both.1 += 1;
                    assert_eq!(both.0, both.1);
                });
            }
        };
        let others = [thread::spawn(add.clone()), thread::spawn(add.clone())];
        add();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(lock.with(&Scheduler::new(&[]), |both| *both), (3, 3));
    });
}

#[test]
fn turns_come_in_order() {
    explore(2, || {
        let lock = Arc::new(TurnLock::new(0, 0));
        let go = |lock: Arc<TurnLock<Scheduler, u64>>, turn| {
            move || {
                let seen = lock.in_turn(&Scheduler::new(&[]), turn, turn + 1, |next| {
                    *next += 1;
                    *next - 1
                });
                assert_eq!(seen, Some(turn));
            }
        };
        let others = [thread::spawn(go(lock.clone(), 2)), thread::spawn(go(lock.clone(), 0))];
        go(lock.clone(), 1)();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(lock.with(&Scheduler::new(&[]), |next| *next), 3);
    });
}

#[test]
fn first_value_is_kept_and_others_are_dropped() {
    explore(3, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let first = Arc::new(FirstOf::new());
        let offer = |number: u32| {
            let (first, dropped) = (first.clone(), dropped.clone());
            move || first.offer((number, CountDrop(dropped)))
        };
        let other = thread::spawn(offer(1));
        offer(2)();
        other.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        let Ok(mut first) = Arc::try_unwrap(first) else { panic!("shared after the join") };
        assert!(matches!(first.take(), Some((1 | 2, _))));
    });
}

/// Counts its drops.
struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn scope_waits_for_running_tasks_alone() {
    explore(3, || {
        let platform = Scheduler::new(&[]);
        let ran = AtomicUsize::new(0);
        let units = Units::new(2);
        let cells = Cells::new(shared_cells());
        let mut kept = None;
        raw::scope(
            &platform,
            &platform.current_thread(),
            &cells,
            &|cell| {
                units.add_one(cell.record.worker() - 1);
                ran.fetch_add(1, Ordering::Relaxed);
            },
            |helpers| {
                let task = || helpers.task(helpers.add_cell().unwrap());
                let late = task();
                thread::spawn(move || late.run());
                kept = Some(task());
            },
        );
        // The first has run, or never begins; the second never begins.
        let ran_at_end = ran.load(Ordering::Relaxed);
        assert_eq!(units.times(), [ran_at_end as u32, 0]);
        drop(cells);
        kept.unwrap().run();
        assert_eq!(ran.load(Ordering::Relaxed), ran_at_end);
    });
}

#[test]
fn cell_of_a_late_task_is_used_by_another_job() {
    explore(3, || {
        // One cell, so that the second job has the cell that the first job's task refers to.
        let cells = &shared_cells()[..1];
        let platform = Scheduler::new(&[]);
        let total = Arc::new(AtomicUsize::new(0));
        for job in 1..=2 {
            let cells = Cells::new(cells);
            let local = Units::new(1);
            let begun = AtomicUsize::new(0);
            raw::scope(
                &platform,
                &platform.current_thread(),
                &cells,
                &|_| {
                    local.add_one(0);
                    begun.fetch_add(job, Ordering::Relaxed);
                },
                |helpers| {
                    let task = helpers.task(helpers.add_cell().unwrap());
                    thread::spawn(move || task.run());
                },
            );
            let begun = begun.load(Ordering::Relaxed);
            // A task of the first job does not run for the second.
            assert_eq!(local.times()[0] as usize * job, begun);
            total.fetch_add(begun, Ordering::Relaxed);
        }
        assert!(total.load(Ordering::Relaxed) <= 3);
    });
}

#[test]
fn job_with_one_helper() {
    whole_job(3, &[Fate::Runs], 2);
}

#[test]
fn job_with_two_helpers() {
    whole_job(3, &[Fate::Runs, Fate::Runs], 1);
}

#[test]
fn job_with_a_queued_helper_that_may_be_taken_back() {
    whole_job(2, &[Fate::Queued], 2);
}

#[test]
fn job_with_a_helper_that_never_begins() {
    whole_job(2, &[Fate::Kept], 2);
    whole_job(2, &[Fate::Kept, Fate::Runs], 1);
}

#[test]
fn helper_of_one_job_is_late_for_the_next() {
    explore(1, || {
        // The second job has the cell to which the first job's task refers, which may come during it.
        let platform = Scheduler::new(&[Fate::Runs, Fate::Runs]);
        for _ in 0..2 {
            let seen = Units::new(2);
            let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
            let stats = job.run(&platform, |chunk| seen.add(&chunk)).unwrap();
            assert_eq!(seen.times(), [1, 1]);
            assert_eq!(stats.units, 2);
        }
    });
}

#[test]
fn cell_of_a_helper_that_left_is_given_to_another() {
    explore(3, || {
        let platform = Scheduler::new(&[]);
        let cells = Cells::new(shared_cells());
        // Not atomic, one for each cell: the two helpers of a cell must follow one another.
        let units = Units::new(1);
        let begun = AtomicUsize::new(0);
        raw::scope(
            &platform,
            &platform.current_thread(),
            &cells,
            &|cell| {
                units.add_one(cell.record.worker() - 1);
                cell.record.set_worked();
                begun.fetch_add(1, Ordering::Relaxed);
            },
            |helpers| {
                let cell = helpers.add_cell().unwrap();
                let first = helpers.task(cell);
                thread::spawn(move || first.run());
                // As the caller of a job looks for a cell between two chunks.
                if cell.is_idle() {
                    let second = helpers.task(cell);
                    thread::spawn(move || second.run());
                }
            },
        );
        assert_eq!(units.times()[0] as usize, begun.load(Ordering::Relaxed));
    });
}

#[test]
fn job_with_a_lost_and_a_running_helper() {
    whole_job(3, &[Fate::Lost, Fate::Runs], 1);
}

#[test]
fn job_with_a_refused_helper() {
    whole_job(3, &[Fate::Runs, Fate::Refused], 1);
}

#[test]
fn failing_chunk_is_left_and_completed_ones_are_undone() {
    explore(1, || {
        let platform = Scheduler::new(&[Fate::Runs, Fate::Runs]);
        let done = Units::new(2);
        let undone = Units::new(2);
        let undo = |chunk: Chunk<Items>| undone.add(&chunk);
        let error = Job::new(Items::new(0)..Items::new(2))
            .threads_exact(2)
            .undo(&undo)
            .run(&platform, |chunk| {
                if chunk.indices().contains(&1) {
                    return Err("unit 1");
                }
                done.add(&chunk);
                Ok(())
            })
            .unwrap_err();
        assert_eq!(error.cause, Cause::Failed { error: "unit 1", start: 1, end: 2 });
        // Exactly the completed units.
        assert_eq!(done.times(), undone.times());
        assert_eq!(error.stats.units_undone, error.stats.units);
    });
}

#[test]
fn accumulators_are_merged_once_each() {
    explore(1, || {
        let platform = Scheduler::new(&[Fate::Runs]);
        let (sum, _) = Job::new(Items::new(0)..Items::new(3))
            .threads_exact(2)
            .run_reduce(
                &platform,
                || 0,
                |sum, chunk| {
                    *sum += chunk.indices().sum::<u64>();
                    Ok::<(), ()>(())
                },
                |a, b| a + b,
            )
            .unwrap();
        assert_eq!(sum, 3);
    });
}

#[test]
fn walk_positions_follow_the_numbers() {
    explore(1, || {
        let platform = Scheduler::new(&[Fate::Runs]);
        let stats = Job::new(Items::new(0)..Items::new(3))
            .threads_exact(2)
            .run_walk(
                &platform,
                100,
                |from, steps| from + 10 * steps,
                |chunk, positions| {
                    let expected = |unit: u64| 100 + 10 * unit;
                    assert_eq!(positions.start, expected(chunk.start().get()));
                    assert_eq!(positions.end, expected(chunk.end().get()));
                    Ok::<(), ()>(())
                },
            )
            .unwrap();
        assert_eq!(stats.units, 3);
    });
}

#[test]
fn nested_job_ends() {
    // On a separate thread: the checker's default stack is too small for nested jobs.
    explore(1, || scheduler::spawn(|| nested_job(&[Fate::Runs, Fate::Queued])).join().unwrap());
}

#[test]
fn nested_job_ends_though_its_helper_never_begins() {
    explore(1, || scheduler::spawn(|| nested_job(&[Fate::Runs, Fate::Kept])).join().unwrap());
    explore(1, || scheduler::spawn(|| nested_job(&[Fate::Kept, Fate::Runs])).join().unwrap());
}

fn nested_job(fates: &'static [Fate]) {
    let platform = Scheduler::new(fates);
    let total = AtomicUsize::new(0);
    Job::new(Items::new(0)..Items::new(2))
        .threads_exact(2)
        .run(&platform, |outer| {
            Job::new(Items::new(0)..Items::new(2))
                .threads_exact(2)
                .within(&outer)
                .run(&platform, |inner| {
                    let units = (outer.len().get() * inner.len().get()) as usize;
                    total.fetch_add(units, Ordering::Relaxed);
                    Ok::<(), ()>(())
                })
                .map(drop)
                .map_err(drop)
        })
        .unwrap();
    assert_eq!(total.load(Ordering::Relaxed), 4);
}
