//! The `huge-pool` job: resizes the pools of huge pages in parallel, at boot by parameter and later by `sysctl`.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use frames::policy::{NodePolicy, NodeSet};
use ktask::{Chunk, HugePages, JobError, MAX_NODE_RANGES, NodeId, NodeRange, Stats};
use params::node_policy::{self, WrittenPolicy};
use params::registry::{HUGE_1G, HUGE_2M, HUGE_ALL_OR_NOTHING, HUGE_POLICY};

use super::evict_cache;
use super::manners::Kind;
use super::node_stats::{JobStats, NodeCounter};
use super::platform::Kernel;
use crate::console::warning;
use crate::mm::huge::HugeSize;
use crate::mm::huge_pool::{self, HugePool, PoolCount};
use crate::mm::pages;
use crate::platform::nodes;

/// Minimum pages in a chunk. Taking one costs a sixth of a microsecond, and two threads that share the locks of a zone and of the
/// pool gain nothing with 1500 pages: they moved 0.7 to 1.3 times as many as one.
const MIN_CHUNK: u64 = 4096;

static GROW: Kind = Kind::new("huge-pool");
static SHRINK: Kind = Kind::new("shrink-pool");

/// Number of attempts at an all-or-nothing growth while other threads take pages.
const ATTEMPTS: usize = 3;

/// A requested size of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Pages that it should have.
    pub wanted: u64,
    /// The nodes to take pages from.
    pub policy: NodePolicy,
    /// Whether the pool must not grow unless it reaches its full size.
    pub all_or_nothing: bool,
    /// Number of threads; `None`: as many as are useful.
    pub threads: Option<usize>,
}

/// The result of a request.
#[derive(Debug)]
pub struct Resized {
    /// Pages in the pool now.
    pub total: u64,
    /// The pages before and after by node, if there were not enough.
    pub shortage: Option<Shortage>,
    /// The statistics of the jobs.
    pub stats: JobStats,
}

/// Fewer pages were available than wanted.
#[derive(Debug)]
pub struct Shortage {
    /// Pages that the pool should have.
    pub wanted: u64,
    /// Pages that it has.
    pub total: u64,
    /// The pages before.
    pub before: PoolCount,
    /// The pages afterwards.
    pub after: PoolCount,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, total, before, after } = self;
        write!(f, "{total} of {wanted} wanted; before: {before}; now: {after}")
    }
}

/// Why a pool was not changed.
#[derive(Debug)]
pub enum ResizeError {
    /// Another thread is changing a pool.
    Busy,
    /// The request was all-or-nothing; no page was taken.
    Short(Shortage),
}

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(f, "a pool of huge pages is being changed already"),
            Self::Short(shortage) => shortage.fmt(f),
        }
    }
}

/// Resizes both pools as the `huge.*` parameters say. Returns false if there was nothing to do. Logs shortages and errors as
/// warnings.
pub fn apply_parameters() -> bool {
    let mut had_work = false;
    // The larger pages first: contiguous memory for them is scarcer.
    for (size, wanted) in [(HugeSize::Size1G, HUGE_1G.get()), (HugeSize::Size2M, HUGE_2M.get())] {
        let pool = huge_pool::pool(size);
        // A pool that is too large because its pages are in use has another wanted size, which has to be set again.
        if pool.total() == wanted && pool.wanted() == wanted {
            continue;
        }
        had_work = true;
        match resize(size, request(wanted)) {
            Ok(Resized { total, shortage: None, .. }) if total > wanted => {
                let more = total - wanted;
                log::info!(
                    "huge pages: {total} of {size} in the pool; {more} in use leave it when they are returned"
                );
            }
            Ok(Resized { total, shortage: None, .. }) => {
                log::info!("huge pages: {total} of {size} in the pool")
            }
            Ok(Resized { shortage: Some(shortage), .. }) => warning(format_args!("huge pages: {shortage}")),
            Err(error) => warning(format_args!("huge pages: {error:#}")),
        }
    }
    had_work
}

/// Returns a request for `wanted` pages with the other `huge.*` parameters.
pub fn request(wanted: u64) -> Request {
    let mut buffer = [0; params::TEXT_CAPACITY];
    let policy = match node_policy::parse(HUGE_POLICY.get(&mut buffer)) {
        Some(WrittenPolicy::Preferred(node)) => NodePolicy::Preferred(node),
        Some(WrittenPolicy::Interleave(set)) => NodePolicy::Interleave(NodeSet(set)),
        Some(WrittenPolicy::Bind(set)) => NodePolicy::Bind(NodeSet(set)),
        Some(WrittenPolicy::Local) | None => NodePolicy::Local,
    };
    Request { wanted, policy, all_or_nothing: HUGE_ALL_OR_NOTHING.get(), threads: None }
}

/// Resizes the pool of `size`. Pages in use stay in it until they are returned.
pub fn resize(size: HugeSize, request: Request) -> Result<Resized, ResizeError> {
    static IS_BUSY: AtomicBool = AtomicBool::new(false);
    if IS_BUSY.swap(true, SeqCst) {
        return Err(ResizeError::Busy);
    }
    let pool = huge_pool::pool(size);
    let total = pool.total();
    let result = if total < request.wanted {
        grow(pool, request)
    } else {
        pool.set_wanted(request.wanted);
        let stats = shrink(pool, request.threads);
        Ok(Resized { total: pool.total(), shortage: None, stats })
    };
    IS_BUSY.store(false, SeqCst);
    result
}

/// Frees surplus pages on `threads` threads, from the node with the most free ones first. Repeats while other threads return
/// surplus pages to the pool.
fn shrink(pool: &HugePool, threads: Option<usize>) -> JobStats {
    let mut total = JobStats::default();
    loop {
        let shares = surplus_shares(pool);
        if shares.iter().all(|share| *share == 0) {
            return total;
        }
        let shares = NodeShares::new(&shares);
        let job = SHRINK.job_over_nodes(&shares.ranges, threads).min_chunk(HugePages::new(MIN_CHUNK));
        let counter = NodeCounter::new();
        let shed: Result<Stats, JobError<Infallible>> = job.run(&Kernel, |chunk| {
            counter.count(&chunk, chunk.is_local());
            pool.shed(shares.node_of(&chunk), chunk.end().get() - chunk.start().get());
            Ok(())
        });
        total.add(&counter.complete(shed.expect("returning pages cannot fail")));
    }
}

/// Returns how many free pages of each node are surplus.
fn surplus_shares(pool: &HugePool) -> Vec<u64> {
    let mut left = pool.total().saturating_sub(pool.wanted());
    let nodes = pool.count().nodes;
    let mut by_free: Vec<(u64, usize)> =
        nodes.iter().enumerate().map(|(node, count)| (count.pool_free, node)).collect();
    by_free.sort_unstable_by(|a, b| b.cmp(a));
    let mut shares = alloc::vec![0; nodes.len()];
    for (free, node) in by_free {
        shares[node] = free.min(left);
        left -= shares[node];
    }
    shares
}

fn grow(pool: &HugePool, request: Request) -> Result<Resized, ResizeError> {
    let wanted_before = pool.wanted();
    // Recomputed for each attempt: pages of a failed attempt stay in the pool if they are in use by now.
    let missing = || request.wanted.saturating_sub(pool.total());
    let (mut found, mut shares) = share(pool, missing(), request.policy);
    let before = pool.count();
    let shortage =
        |total| Shortage { wanted: request.wanted, total, before: before.clone(), after: pool.count() };
    for _ in 0..ATTEMPTS {
        if found < missing() && request.all_or_nothing {
            break;
        }
        // Before pages are taken: a page that is returned meanwhile must stay in the pool.
        pool.set_wanted(request.wanted);
        if let Ok(stats) = take_shares(pool, &shares, request) {
            let total = pool.total();
            let shortage = (total < request.wanted).then(|| shortage(total));
            return Ok(Resized { total, shortage, stats });
        }
        pool.set_wanted(wanted_before);
        // All pages were freed again. If other threads took pages meanwhile, other nodes may still have some.
        let counted = shares;
        (found, shares) = share(pool, missing(), request.policy);
        if shares == counted {
            break;
        }
    }
    Err(ResizeError::Short(shortage(pool.total())))
}

/// Returns what to take from each node, and the sum: `missing`, or all that is available once the caches were drained and
/// pages of closed files evicted.
fn share(pool: &HugePool, missing: u64, policy: NodePolicy) -> (u64, Vec<u64>) {
    let count = || -> (u64, Vec<u64>) {
        let available: Vec<u64> = pool.count().nodes.iter().map(|node| node.allocator).collect();
        let from = match policy {
            NodePolicy::Preferred(node) if node < available.len() => node,
            _ => nodes::current(),
        };
        let mut shares = alloc::vec![0; available.len()];
        (policy.share(missing, &available, nodes::near(from), &mut shares), shares)
    };
    match count() {
        (found, _) if found < missing => {
            pages::drain_caches();
            evict_cache::make_room(pool.size().order(), missing);
            count()
        }
        counted => counted,
    }
}

/// Numbers of pages by node, as ranges of a job.
struct NodeShares {
    ranges: Vec<NodeRange<HugePages>>,
}

impl NodeShares {
    fn new(shares: &[u64]) -> Self {
        const { assert!(firmware::nodes::MAX_NODES <= MAX_NODE_RANGES) };
        let mut ranges = Vec::new();
        let mut at = 0;
        for (node, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0) {
            let range = HugePages::new(at)..HugePages::new(at + share);
            ranges.push(NodeRange::new(NodeId(node as u32), range));
            at += share;
        }
        Self { ranges }
    }

    fn node_of(&self, chunk: &Chunk<HugePages>) -> usize {
        let holds =
            |range: &&NodeRange<HugePages>| range.start() <= chunk.start() && chunk.end() <= range.end();
        self.ranges.iter().find(holds).expect("a chunk lies in one range").node().0 as usize
    }
}

/// A node had fewer pages than counted before.
#[derive(Debug)]
struct Fewer;

/// Takes its share from each node, on that node's CPUs if they are idle.
fn take_shares(pool: &HugePool, shares: &[u64], request: Request) -> Result<JobStats, JobError<Fewer>> {
    let shares = NodeShares::new(shares);
    let undo = |chunk: Chunk<HugePages>| {
        pool.shrink(shares.node_of(&chunk), chunk.end().get() - chunk.start().get());
    };
    let job =
        GROW.job_over_nodes(&shares.ranges, request.threads).min_chunk(HugePages::new(MIN_CHUNK)).undo(&undo);
    let counter = NodeCounter::new();
    let taken = job.run(&Kernel, |chunk| {
        counter.count(&chunk, chunk.is_local());
        let node = shares.node_of(&chunk);
        let len = chunk.end().get() - chunk.start().get();
        let taken = pool.grow(node, len);
        if taken < len && request.all_or_nothing {
            pool.shrink(node, taken);
            return Err(Fewer);
        }
        Ok(())
    });
    taken.map(|total| counter.complete(total))
}
