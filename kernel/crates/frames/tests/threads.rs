//! The zone as a kernel uses it: descriptors initialised by many threads at
//! once, blocks freed and allocated under a lock meanwhile.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use frames::{InitKind, PageDesc, Pfn, Zone, order_pages};

const THREADS: usize = 4;
const CHUNK_PAGES: u64 = 1 << 11;
const CHUNKS: usize = 64;
const PAGES: u64 = CHUNK_PAGES * CHUNKS as u64;
const BASE: u64 = 0x12345;

/// One flag per page: whether it is allocated.
struct Claims(Vec<AtomicBool>);

impl Claims {
    fn new() -> Self {
        Self((0..PAGES).map(|_| AtomicBool::new(false)).collect())
    }

    fn pages(&self, block: Pfn, order: u8) -> &[AtomicBool] {
        let first = (block.0 - BASE) as usize;
        &self.0[first..first + order_pages(order) as usize]
    }

    fn claim(&self, block: Pfn, order: u8) {
        for page in self.pages(block, order) {
            assert!(!page.swap(true, Ordering::Relaxed), "handed out twice");
        }
    }

    fn release(&self, block: Pfn, order: u8) {
        for page in self.pages(block, order) {
            assert!(page.swap(false, Ordering::Relaxed), "lost meanwhile");
        }
    }
}

/// xorshift64: enough to mix orders.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Initialises chunk after chunk without the lock, and frees it with the lock.
fn initialise(zone: &Mutex<Zone<'_>>, next_chunk: &AtomicUsize) {
    let span = zone.lock().unwrap().span();
    loop {
        let chunk = next_chunk.fetch_add(1, Ordering::Relaxed);
        if chunk >= CHUNKS {
            return;
        }
        let start = Pfn(BASE + chunk as u64 * CHUNK_PAGES);
        let range = start..start + CHUNK_PAGES;
        span.init_range(range.clone(), InitKind::Usable).unwrap();
        zone.lock().unwrap().free_initial(range).unwrap();
    }
}

/// Allocates and frees at random; frees all in the end.
fn churn(zone: &Mutex<Zone<'_>>, claims: &Claims, seed: u64) {
    let mut random = Random(seed);
    let mut held: Vec<(Pfn, u8)> = Vec::new();
    for _ in 0..200_000 {
        if held.len() < 200 && random.below(2) == 0 {
            let order = random.below(9) as u8;
            let block = zone.lock().unwrap().alloc(order);
            if let Some(block) = block {
                claims.claim(block, order);
                held.push((block, order));
            }
        } else if !held.is_empty() {
            let which = random.below(held.len() as u64) as usize;
            let (block, order) = held.swap_remove(which);
            claims.release(block, order);
            zone.lock().unwrap().free(block, order).unwrap();
        }
    }
    for (block, order) in held {
        claims.release(block, order);
        zone.lock().unwrap().free(block, order).unwrap();
    }
}

#[test]
fn no_page_is_held_twice_while_others_still_initialise() {
    let descs: Vec<PageDesc> = (0..PAGES).map(|_| PageDesc::new()).collect();
    let zone = Mutex::new(Zone::new(&descs, Pfn(BASE), 5).unwrap());
    let claims = Claims::new();
    let next_chunk = AtomicUsize::new(0);
    thread::scope(|scope| {
        for seed in 1..=THREADS as u64 {
            let (zone, claims, next_chunk) = (&zone, &claims, &next_chunk);
            scope.spawn(move || {
                if seed.is_multiple_of(2) {
                    initialise(zone, next_chunk);
                }
                churn(zone, claims, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            });
        }
    });
    let census = zone.lock().unwrap().verify().unwrap();
    assert_eq!(census.free_pages, PAGES);

    // In every case, the free blocks are those of a zone never used.
    let fresh_descs: Vec<PageDesc> = (0..PAGES).map(|_| PageDesc::new()).collect();
    let mut fresh = Zone::new(&fresh_descs, Pfn(BASE), 5).unwrap();
    let pages = fresh.span().pages();
    fresh.init_range(pages.clone(), InitKind::Usable).unwrap();
    fresh.free_initial(pages).unwrap();
    assert_eq!(Ok(census), fresh.verify());
}
