//! Stress: all operations of threads on each other, many at once. Each run is short. Its purpose is to run in many boots
//! (`cargo soak`), on more virtual CPUs than the host has.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};

use frames::policy::NodePolicy;
use ktask::{Items, Job};
use runqueue::CpuMask;
use spin::Once;

use super::sched_share::a_quota;
use super::wait::{Patience, within};
use crate::arch::{percpu, tsc};
use crate::debug::ktest::{Stopped, TestResult};
use crate::jobs::huge_file::HugeFile;
use crate::jobs::huge_pool::{Request, resize};
use crate::jobs::platform::Kernel;
use crate::kernel_tests;
use crate::mm::huge::HugeSize;
use crate::mm::{mem_map, pages};
use crate::sched::group::Group;
use crate::sched::hotplug::{HotplugError, offline, online};
use crate::sched::mutex::Mutex;
use crate::sched::wait::{Completion, Semaphore, WaitQueue};
use crate::sched::{self, JoinHandle, Spawn, SpawnError, Thread};

/// A kind of stress. Returns an error that says what went wrong. Ends by itself, after some hundred milliseconds at most on a
/// host with enough CPUs.
type Stressor = fn() -> Result<(), String>;

/// All kinds of stress.
const ALL: [(&str, Stressor); 9] = [
    ("wakes", wakes),
    ("deadlines", deadlines),
    ("locks", locks),
    ("churn", churn),
    ("affinity", affinity),
    ("quota", quota),
    ("hotplug", hotplug),
    ("pages", pages_of_all_sizes),
    ("faults", faults),
];

/// Time after which a stressor has lost a wake-up or the like. A stressor takes less than a hundredth of it.
const LOST_NS: u64 = 60_000_000_000;

/// Pseudo-random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn new(seed: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed as u64 + 1))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn text(error: SpawnError) -> String {
    format!("{error}")
}

/// Runs `work` in `count` threads with their numbers. Returns the threads, or the first error.
fn crowd(
    count: usize,
    spawn: Spawn<'_>,
    work: impl Fn(usize) -> Result<(), String> + Send + Sync + 'static,
) -> Result<Vec<Arc<Thread>>, String> {
    let work = Arc::new(work);
    let failure = Arc::new(Once::new());
    let start = |number| {
        let (work, failure) = (work.clone(), failure.clone());
        spawn.start(move || {
            if let Err(error) = work(number) {
                failure.call_once(|| error);
            }
        })
    };
    let started: Vec<_> = (0..count).map(start).collect();
    let threads: Vec<_> = started.iter().flatten().map(|handle| handle.thread().clone()).collect();
    let mut result = Ok(threads);
    for handle in started {
        match handle {
            Ok(handle) => handle.join(),
            Err(error) => result = Err(text(error)),
        }
    }
    match failure.get() {
        Some(failure) => Err(failure.clone()),
        None => result,
    }
}

/// Threads in pairs, which wake each other alternately. A lost wake-up blocks a pair for ever.
fn wakes() -> Result<(), String> {
    const PAIRS: usize = 12;
    const ROUNDS: u64 = 60;
    struct Pair {
        moves: AtomicU64,
        players: [Once<Arc<Thread>>; 2],
    }
    let new = |_| Pair { moves: AtomicU64::new(0), players: [Once::new(), Once::new()] };
    let pairs: Arc<[Pair]> = (0..PAIRS).map(new).collect();
    crowd(2 * PAIRS, Spawn::new("stress/player"), move |number| {
        let (pair, player) = (&pairs[number / 2], number % 2);
        pair.players[player].call_once(sched::current_arc);
        let mut random = Random::new(number);
        for round in 0..ROUNDS {
            let mine = 2 * round + player as u64;
            while pair.moves.load(SeqCst) != mine {
                // Sometimes with a deadline that passes about when the other thread wakes this one.
                let deadline_ns = (random.below(3) == 0).then(|| tsc::now_ns() + random.below(200_000));
                sched::park(deadline_ns);
            }
            pair.moves.store(mine + 1, SeqCst);
            match pair.players[1 - player].get() {
                Some(other) => _ = sched::unpark(other),
                // The other thread has not started. It loads `moves` before it parks.
                None => sched::yield_now(),
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Sleeps of all lengths, and waits whose condition becomes true just before or just after the deadline.
fn deadlines() -> Result<(), String> {
    let gate = Arc::new((WaitQueue::new(), AtomicBool::new(false)));
    let opener = gate.clone();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let opening = sched::spawn("stress/opener", move || {
        while !is_over.load(SeqCst) {
            opener.1.fetch_xor(true, SeqCst);
            opener.0.wake_all();
            sched::sleep_ns(300_000);
        }
    });
    let opening = opening.map_err(text)?;
    let result = crowd(10, Spawn::new("stress/sleeper"), move |number| {
        let mut random = Random::new(number);
        for _ in 0..40 {
            let deadline_ns = tsc::now_ns() + random.below(900_000);
            if random.below(2) == 0 {
                let opened = gate.0.wait_until_deadline(|| gate.1.load(SeqCst), deadline_ns);
                if !opened && tsc::now_ns() < deadline_ns {
                    return Err("a wait gave up before its deadline".into());
                }
            } else {
                let ns = random.below(400_000);
                let start_ns = tsc::now_ns();
                sched::sleep_ns(ns);
                if tsc::now_ns() < start_ns + ns {
                    return Err(format!("a sleep of {ns} ns ended early"));
                }
            }
        }
        Ok(())
    });
    over.store(true, SeqCst);
    opening.join();
    result.map(|_| ())
}

/// A mutex inside a semaphore of three permits.
fn locks() -> Result<(), String> {
    const THREADS: usize = 8;
    const ROUNDS: u64 = 60;
    struct Shared {
        count: Mutex<u64>,
        few: Semaphore,
        inside: AtomicUsize,
    }
    let shared =
        Arc::new(Shared { count: Mutex::new(0), few: Semaphore::new(3), inside: AtomicUsize::new(0) });
    let counted = shared.clone();
    crowd(THREADS, Spawn::new("stress/locker"), move |number| {
        let mut random = Random::new(number);
        for _ in 0..ROUNDS {
            if random.below(4) == 0 {
                while !shared.few.acquire_until(tsc::now_ns() + random.below(50_000)) {}
            } else {
                shared.few.acquire();
            }
            let inside = shared.inside.fetch_add(1, SeqCst) + 1;
            if inside > 3 {
                return Err(format!("{inside} threads have one of 3 permits"));
            }
            {
                let mut count = match random.below(4) {
                    0 => loop {
                        if let Ok(count) = shared.count.lock_until(tsc::now_ns() + random.below(50_000)) {
                            break count;
                        }
                    },
                    _ => shared.count.lock(),
                };
                let before = *count;
                if random.below(3) == 0 {
                    sched::yield_now();
                }
                *count = before + 1;
            }
            shared.inside.fetch_sub(1, SeqCst);
            shared.few.release();
        }
        Ok(())
    })?;
    let count = *counted.count.lock();
    if count != THREADS as u64 * ROUNDS {
        return Err(format!("{count} of {} counts", THREADS as u64 * ROUNDS));
    }
    Ok(())
}

/// Threads that start threads, and join some of them.
fn churn() -> Result<(), String> {
    const PARENTS: usize = 4;
    const CHILDREN: usize = 25;
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = ran.clone();
    crowd(PARENTS, Spawn::new("stress/parent"), move |number| {
        let mut random = Random::new(number);
        for _ in 0..CHILDREN {
            let ran = counter.clone();
            let work = random.below(2000);
            let child = sched::spawn("stress/child", move || {
                (0..work).for_each(|_| core::hint::spin_loop());
                ran.fetch_add(1, SeqCst);
            });
            let child = child.map_err(text)?;
            if random.below(3) > 0 {
                child.join();
            }
        }
        Ok(())
    })?;
    wait_until("every child has run", || ran.load(SeqCst) == PARENTS * CHILDREN)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
    match within(LOST_NS, condition) {
        true => Ok(()),
        false => Err(format!("timed out: {what}")),
    }
}

/// Threads that move themselves and each other between CPUs while they run, wait and sleep.
fn affinity() -> Result<(), String> {
    const THREADS: usize = 8;
    let all: Arc<[Once<Arc<Thread>>]> = (0..THREADS).map(|_| Once::new()).collect();
    crowd(THREADS, Spawn::new("stress/mover"), move |number| {
        all[number].call_once(sched::current_arc);
        let mut random = Random::new(number);
        for _ in 0..50 {
            let cpus: Vec<usize> = sched::online_cpus().iter().collect();
            let mask = match random.below(3) {
                0 => CpuMask::ALL,
                _ => CpuMask::single(cpus[random.below(cpus.len() as u64) as usize]),
            };
            let target = random.below(THREADS as u64) as usize;
            // A CPU may have gone offline since: that is an error without consequences.
            match all[target].get() {
                Some(other) => drop(sched::set_affinity(other, &mask)),
                None => drop(sched::set_affinity(sched::current(), &mask)),
            }
            match random.below(3) {
                0 => sched::sleep_ns(random.below(100_000)),
                1 => sched::yield_now(),
                _ => (0..random.below(3000)).for_each(|_| core::hint::spin_loop()),
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// A group with a quota, whose threads sleep and run. The time of the group is that of its threads.
fn quota() -> Result<(), String> {
    let group = Group::new("stress", Some(a_quota(4_000_000, 8_000_000)));
    let free = Group::new("stress/free", None);
    for group in [&group, &free] {
        let threads = crowd(4, Spawn::new("stress/limited").group(group), |number| {
            let mut random = Random::new(number);
            for _ in 0..30 {
                (0..random.below(20_000)).for_each(|_| core::hint::spin_loop());
                match random.below(2) {
                    0 => sched::sleep_ns(random.below(100_000)),
                    _ => sched::yield_now(),
                }
            }
            Ok(())
        })?;
        // A thread ends before it has left its CPU. Until then it is charged.
        wait_until("the group is charged no more", || {
            let before = group.usage().cpu_time_ns;
            threads.iter().all(|thread| thread.has_left()) && group.usage().cpu_time_ns == before
        })?;
        let (whole, parts) = (group.usage(), threads.iter().map(|thread| thread.usage().cpu_time_ns).sum());
        if whole.cpu_time_ns != parts {
            return Err(format!("group {} used {whole:?}, its threads {parts} ns", group.name()));
        }
    }
    Ok(())
}

/// A job that runs while CPUs go offline and online. Every unit is done once.
fn hotplug() -> Result<(), String> {
    const UNITS: usize = 1000;
    let over = Arc::new(AtomicBool::new(false));
    let has_ended = over.clone();
    let caller = sched::spawn("stress/caller", move || {
        for _ in 0..6 {
            let seen: Vec<AtomicU8> = (0..UNITS).map(|_| AtomicU8::new(0)).collect();
            let job = Job::new(Items::new(0)..Items::new(UNITS as u64)).min_chunk(Items::new(5));
            let _ = job.run(&Kernel, |chunk| {
                for unit in chunk.indices() {
                    seen[unit as usize].fetch_add(1, SeqCst);
                    (0..300).for_each(|_| core::hint::spin_loop());
                }
                Ok::<(), ()>(())
            });
            assert!(seen.iter().all(|count| count.load(SeqCst) == 1), "a unit was not done once");
        }
        has_ended.store(true, SeqCst);
    });
    let caller = caller.map_err(text)?;
    let mut changes = 0;
    while !over.load(SeqCst) || changes < 3 {
        let cpus: Vec<usize> = sched::online_cpus().iter().collect();
        let Some(last) = cpus.last().filter(|_| cpus.len() > 1) else { break };
        change(offline(*last))?;
        change(online(*last))?;
        changes += 1;
    }
    caller.join();
    Ok(())
}

fn change(result: Result<(), HotplugError>) -> Result<(), String> {
    result.map_err(|error| format!("{error}"))
}

/// Blocks of pages that all CPUs allocate and free. No other thread writes to an allocated block.
fn pages_of_all_sizes() -> Result<(), String> {
    let cpus = percpu::online_count();
    crowd(2 * cpus, Spawn::new("stress/pages"), |number| {
        let mut random = Random::new(number);
        let mut held = Vec::new();
        for round in 0..150 {
            let order = random.below(4) as u8;
            if let Some(pfn) = pages::alloc(order) {
                let mark = (number as u64) << 32 | round;
                // SAFETY: the block is ours from `alloc` to `free`, mapped (invariants 11 and 12), and aligned.
                unsafe { mem_map::virt(pfn).cast::<u64>().write_volatile(mark) };
                held.push((pfn, order, mark));
            }
            let must_free = held.len() > 20 || round == 149;
            while !held.is_empty() && (must_free || random.below(2) == 0) {
                let (pfn, order, mark) = held.swap_remove(random.below(held.len() as u64) as usize);
                // SAFETY: as above.
                let found = unsafe { mem_map::virt(pfn).cast::<u64>().read_volatile() };
                pages::free(pfn, order);
                if found != mark {
                    return Err(format!("a page of {mark:#x} held {found:#x}: it has two owners"));
                }
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Threads that access a file of huge pages at once, each page by several of them, while others punch holes.
fn faults() -> Result<(), String> {
    const PAGES: u64 = 4;
    const SIZE: HugeSize = HugeSize::Size2M;
    let bytes = SIZE.bytes();
    let request =
        |wanted| Request { wanted, policy: NodePolicy::Local, all_or_nothing: false, threads: None };
    let before = crate::mm::huge_pool::pool(SIZE).total();
    let resized = resize(SIZE, request(before + PAGES)).map_err(|error| format!("{error}"))?;
    let there = (resized.total - before.min(resized.total)).min(PAGES);
    if there > 0 {
        let file = HugeFile::new(SIZE, there * bytes).map_err(|error| format!("{error}"))?;
        crowd(6, Spawn::new("stress/accessor"), move |number| {
            let mut random = Random::new(number);
            for _ in 0..12 {
                let index = random.below(there);
                if number == 0 && random.below(2) == 0 {
                    file.punch_hole(index * bytes, bytes).map_err(|error| format!("{error}"))?;
                    continue;
                }
                // Each thread has its own word in every page.
                let word = (file.base() + index * bytes) as usize + 64 * (number + 1);
                let mark = (number as u64) << 32 | index;
                // SAFETY: the file is mapped there, or the page fault provides a page of zeros. The word is within the page,
                // aligned, and accessed by no other thread.
                let found = unsafe {
                    let found = (word as *const u64).read_volatile();
                    (word as *mut u64).write_volatile(mark);
                    found
                };
                if found != 0 && found != mark {
                    return Err(format!("a word of {mark:#x} held {found:#x}"));
                }
            }
            Ok(())
        })?;
    }
    resize(SIZE, request(before)).map_err(|error| format!("{error}"))?;
    Ok(())
}

/// Runs all `stressors` at once. If one does not end, prints the state of every thread and panics, which reports where every
/// CPU is.
fn run(stressors: &'static [(&'static str, Stressor)]) -> TestResult {
    let done = Arc::new((WaitQueue::new(), AtomicUsize::new(0)));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let mut threads = Vec::new();
    for (name, stressor) in stressors {
        let (done, failures) = (done.clone(), failures.clone());
        let work: Box<dyn FnOnce() + Send> = Box::new(move || {
            if let Err(error) = stressor() {
                failures.lock().push(format!("{name}: {error}"));
            }
            done.1.fetch_add(1, SeqCst);
            done.0.wake_all();
        });
        threads.push(sched::spawn(name, work).map_err(|error| Stopped::Failed(text(error)))?);
    }
    let all_done = || done.1.load(SeqCst) == stressors.len();
    let mut patience = Patience::new(LOST_NS);
    while !done.0.wait_until_deadline(all_done, tsc::now_ns() + LOST_NS / 100) {
        if patience.lasts() {
            continue;
        }
        for thread in sched::snapshot::threads() {
            crate::console::print_line(format_args!(
                "# thread {} {}: {} on cpu {}, {:?}",
                thread.tid(),
                thread.name(),
                thread.state,
                thread.cpu,
                thread.usage
            ));
        }
        let left = stressors.len() - done.1.load(SeqCst);
        panic!("{left} of {} stressors did not end in {} s", stressors.len(), LOST_NS / 1_000_000_000);
    }
    threads.into_iter().for_each(JoinHandle::join);
    match failures.lock().first() {
        Some(failure) => Err(Stopped::Failed(failure.clone())),
        None => Ok(()),
    }
}

kernel_tests! { "stress":
    fn one_kind_after_another() needs(MemoryMib(32)) {
        for index in 0..ALL.len() {
            run(&ALL[index..=index])?;
        }
    }

    fn all_kinds_at_once() needs(MemoryMib(32)) {
        run(&ALL)?;
    }

    /// Threads that wait for a completion while it completes. Those of one round may not have left their stacks in the next.
    fn completions_race() needs(MemoryMib(16)) {
        for round in 0..40 {
            let completion = Arc::new(Completion::new());
            let waited = completion.clone();
            let completer = sched::spawn("stress/completer", move || completion.complete());
            let completer = completer.map_err(|error| Stopped::Failed(text(error)))?;
            let waiters = crowd(2 + round % 3, Spawn::new("stress/waiter"), move |_| {
                waited.wait();
                Ok(())
            });
            waiters.map_err(Stopped::Failed)?;
            completer.join();
        }
    }
}
