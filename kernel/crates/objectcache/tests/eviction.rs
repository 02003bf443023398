//! Eviction as a job of ktask, alone and beside lookups and insertions.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use ktask::hosted::Hosted;
use ktask::{Items, Job};
use objectcache::{Bucket, Entry, List, Locked, ObjectCache, Position, Refused, Which};

struct Lock<T>(Mutex<T>);

impl<T> Locked<T> for Lock<T> {
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

type Cache = ObjectCache<'static, Lock<Bucket>, Lock<List>>;

fn lock<T>(value: T) -> Lock<T> {
    Lock(Mutex::new(value))
}

/// Makes a cache on one node. Its memory is leaked, as the kernel's is permanent.
fn cache(capacity: usize) -> Cache {
    let entries: Vec<Entry> = (0..capacity).map(|_| Entry::VACANT).collect();
    let buckets: Vec<Lock<Bucket>> =
        (0..capacity.next_power_of_two() / 2).map(|_| lock(Bucket::EMPTY)).collect();
    ObjectCache::new(entries.leak(), buckets.leak(), vec![lock(List::EMPTY)].leak(), lock)
}

/// Evicts as a job, up to the `fails_at`th object. Returns the number of evicted objects.
fn evict(cache: &Cache, which: Which, fails_at: u64, free: impl Fn(u64) + Sync) -> u64 {
    let detached = cache.detach(0);
    let len = u64::from(detached.len());
    let evicted = AtomicU64::new(0);
    // The end of the chunk that was claimed last, and its position.
    let walked = Mutex::new((0, detached.first()));
    let job = Job::new(Items::new(0)..Items::new(len)).min_chunk(Items::new(4));
    let advance = |at: Position, steps: u64| cache.advance(at, steps);
    let _ended_early = job.run_walk(&Hosted::new(), detached.first(), advance, |chunk, positions| {
        let (start, end) = (chunk.start().get(), chunk.end().get());
        let mut walked = walked.lock().unwrap();
        if end > walked.0 {
            *walked = (end, positions.end);
        }
        drop(walked);
        evicted.fetch_add(cache.evict(0, positions.start, end - start, which, &free), SeqCst);
        if (start..end).contains(&fails_at) { Err(()) } else { Ok(()) }
    });
    let (end, at) = walked.into_inner().unwrap();
    cache.put_back(0, detached, at, len - end);
    evicted.into_inner()
}

#[test]
fn objects_in_use_stay_and_found_ones_have_a_second_chance() {
    let cache = cache(100);
    for key in 0..100 {
        drop(cache.insert(0, key, key * 10).unwrap());
    }
    assert_eq!(cache.insert(0, 100, 0).err(), Some(Refused::Full));
    let user = cache.find(7).unwrap();
    drop(cache.find(8).unwrap());
    assert_eq!(evict(&cache, Which::Cold, u64::MAX, |word| assert!(word != 70 && word != 80)), 98);
    assert_eq!(user.word(), 70);
    assert_eq!(cache.insert(0, 7, 0).err(), Some(Refused::Exists));
    assert_eq!(evict(&cache, Which::Cold, u64::MAX, |word| assert_eq!(word, 80)), 1);
    assert_eq!(evict(&cache, Which::Unused, u64::MAX, |word| panic!("{word} is in use")), 0);
    drop(user);
    assert_eq!(evict(&cache, Which::Unused, u64::MAX, |word| assert_eq!(word, 70)), 1);
    assert!(cache.find(7).is_none() && cache.detach(0).is_empty());
}

#[test]
fn a_job_that_ends_at_any_object_loses_none() {
    for fails_at in 0..64 {
        let cache = cache(64);
        for key in 0..64 {
            drop(cache.insert(0, key, key).unwrap());
        }
        let freed: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
        let free = |word: u64| {
            freed[word as usize].fetch_add(1, SeqCst);
        };
        let first = evict(&cache, Which::Unused, fails_at, free);
        let found = (0..64).filter(|key| cache.find(*key).is_some()).count() as u64;
        assert_eq!(first + found, 64, "ended at {fails_at}");
        assert_eq!(evict(&cache, Which::Unused, u64::MAX, free), found);
        assert!(freed.iter().all(|count| count.load(SeqCst) == 1), "ended at {fails_at}");
    }
}

#[test]
fn each_object_is_freed_once_and_never_in_use() {
    const KEYS: u64 = 300;
    let cache = cache(256);
    // By word: 1 inserted, 2 freed.
    let states: Vec<AtomicU64> = (0..100_000).map(|_| AtomicU64::new(0)).collect();
    let next_word = AtomicU64::new(0);
    let free = |word: u64| assert_eq!(states[word as usize].swap(2, SeqCst), 1, "freed twice: {word}");
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            let (cache, states, next_word) = (&cache, &states, &next_word);
            scope.spawn(move || {
                let mut random: u64 = seed;
                for _ in 0..20_000 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let key = (random >> 33) % KEYS;
                    if let Some(user) = cache.find(key) {
                        std::thread::yield_now();
                        assert_eq!(states[user.word() as usize].load(SeqCst), 1, "freed in use");
                        continue;
                    }
                    let word = next_word.fetch_add(1, SeqCst);
                    states[word as usize].store(1, SeqCst);
                    if cache.insert(0, key, word).is_err() {
                        states[word as usize].store(0, SeqCst);
                    }
                }
            });
        }
        for round in 0..500 {
            evict(&cache, if round % 2 == 0 { Which::Cold } else { Which::Unused }, u64::MAX, free);
        }
    });
    evict(&cache, Which::Unused, u64::MAX, free);
    assert!(states.iter().all(|state| state.load(SeqCst) != 1), "an object was lost");
}

#[test]
fn a_detached_part_is_the_oldest_and_comes_back_whole() {
    let cache = cache(10);
    for key in 0..10 {
        drop(cache.insert(0, key, key).unwrap());
    }
    for most in [0, 1, 3, 10, 11] {
        let part = cache.detach_some(0, most);
        assert_eq!((part.len(), cache.len_on(0)), (most.min(10), 10 - most.min(10)));
        // Kept objects are the youngest: the part goes to the end.
        cache.keep(0, part.first(), part.len().into());
        assert_eq!((cache.len_on(0), cache.len()), (10, 10), "{most} were detached");
    }
    // 0 and 1 to 3 went to the end, then all were moved twice.
    let part = cache.detach_some(0, 6);
    let mut evicted = Vec::new();
    assert_eq!(cache.evict(0, part.first(), 6, Which::Cold, |word| evicted.push(word)), 6);
    assert_eq!(evicted, [4, 5, 6, 7, 8, 9]);
    assert_eq!((cache.len_on(0), cache.len()), (4, 4));
    assert!((0..10).all(|key| cache.find(key).is_some() == (key < 4)));
    let rest = cache.detach(0);
    assert_eq!(cache.evict(0, rest.first(), 4, Which::Unused, |word| evicted.push(word)), 4);
    assert_eq!(evicted[6..], [0, 1, 2, 3]);
    assert!(cache.is_empty());
}
