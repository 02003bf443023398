//! Pools of huge pages: one for each size, by node.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use firmware::nodes::MAX_NODES;
use frames::Pfn;
use waiting::PoolSize;

use super::huge::HugeSize;
use super::page_stack::PageStack;
use super::{mem_map, pages, stats};
use crate::platform::nodes;

/// Blocks that move between allocator and pool with the lock taken once.
const BATCH: usize = 64;

/// Huge pages of one size. Their contents are not cleared.
pub struct HugePool {
    size: HugeSize,
    free: [PageStack; MAX_NODES],
    /// Pages of the pool, free or in use, by node.
    total: [AtomicU64; MAX_NODES],
    /// Pages of all nodes, and the number wanted. A page put back beyond that leaves the pool.
    pool_size: PoolSize,
}

static POOL_2M: HugePool = HugePool::new(HugeSize::Size2M);
static POOL_1G: HugePool = HugePool::new(HugeSize::Size1G);

/// Returns the pool of huge pages of `size`.
pub fn pool(size: HugeSize) -> &'static HugePool {
    match size {
        HugeSize::Size2M => &POOL_2M,
        HugeSize::Size1G => &POOL_1G,
    }
}

impl HugePool {
    const fn new(size: HugeSize) -> Self {
        Self {
            size,
            free: [const { PageStack::new() }; MAX_NODES],
            total: [const { AtomicU64::new(0) }; MAX_NODES],
            pool_size: PoolSize::new(),
        }
    }

    /// Returns the size of its pages.
    pub fn size(&self) -> HugeSize {
        self.size
    }

    /// Returns the number of pages of the pool, free or in use.
    pub fn total(&self) -> u64 {
        self.pool_size.total()
    }

    /// Returns the number of free pages.
    pub fn free(&self) -> u64 {
        self.free.iter().map(PageStack::len).sum()
    }

    /// Returns the number of pages that [`set_wanted`](Self::set_wanted) set last.
    pub fn wanted(&self) -> u64 {
        self.pool_size.wanted()
    }

    /// Sets the number of pages that the pool should have. [`grow`](Self::grow) and
    /// [`shed`](Self::shed) change the pool accordingly.
    pub fn set_wanted(&self, wanted: u64) {
        self.pool_size.set_wanted(wanted);
    }

    /// Allocates up to `count` pages of `node` for the pool; returns their number.
    pub fn grow(&self, node: usize, count: u64) -> u64 {
        let allowed = pages::count_job_allocations(count);
        let mut batch = [Pfn(0); BATCH];
        let mut taken = 0;
        while taken < allowed {
            let len = (allowed - taken).min(BATCH as u64) as usize;
            let got = pages::alloc_bulk_on(node, self.size.order(), &mut batch[..len]);
            self.free[node].push_all(&batch[..got]);
            self.total[node].fetch_add(got as u64, SeqCst);
            self.pool_size.add(got as u64);
            taken += got as u64;
            if got < len {
                break;
            }
        }
        taken
    }

    /// Frees up to `count` free pages of `node`, wanted or not: the undo of
    /// [`grow`](Self::grow).
    pub fn shrink(&self, node: usize, count: u64) {
        self.give_back(node, count, |most| self.pool_size.remove(most));
    }

    /// Frees up to `count` free pages of `node` as long as the pool has more than
    /// wanted; returns their number.
    pub fn shed(&self, node: usize, count: u64) -> u64 {
        self.give_back(node, count, |most| self.pool_size.shed(most))
    }

    /// Frees up to `count` free pages of `node`. `claim` takes up to a number of
    /// pages out of the pool size and returns how many; claims without a free page
    /// are added again.
    fn give_back(&self, node: usize, count: u64, claim: impl Fn(u64) -> u64) -> u64 {
        let mut batch = [Pfn(0); BATCH];
        let mut freed = 0;
        while freed < count {
            let claimed = claim((count - freed).min(BATCH as u64));
            let got = self.free[node].pop_some(&mut batch[..claimed as usize]) as u64;
            self.pool_size.add(claimed - got);
            self.total[node].fetch_sub(got, SeqCst);
            pages::free_bulk(&batch[..got as usize], self.size.order());
            freed += got;
            // A page may have been put back while it was claimed.
            if claimed == 0 || got < claimed && self.free[node].len() == 0 {
                break;
            }
        }
        freed
    }

    /// Takes a free page, as near to this CPU's node as possible.
    pub fn take(&self) -> Option<Pfn> {
        if pages::count_job_allocations(1) == 0 {
            return None;
        }
        let here = nodes::current();
        // Nearly always from this node; the order of the others is looked up only if it has none.
        self.free[here]
            .pop()
            .or_else(|| mem_map::zones().near(here).find_map(|zone| self.free[zone.node].pop()))
    }

    /// Puts a page from [`take`](Self::take) back.
    pub fn put(&self, page: Pfn) {
        self.put_all(&[page]);
    }

    /// Puts pages from [`take`](Self::take) back. The locks are taken once for neighbours in `pages` of the same node.
    pub fn put_all(&self, pages: &[Pfn]) {
        let node_of = |page: Pfn| mem_map::node_of(page).expect("a huge page is memory");
        for of_one_node in pages.chunk_by(|a, b| node_of(*a) == node_of(*b)) {
            self.put_on(node_of(of_one_node[0]), of_one_node);
        }
    }

    fn put_on(&self, node: usize, pages: &[Pfn]) {
        let (surplus, staying) = pages.split_at(self.pool_size.shed(pages.len() as u64) as usize);
        self.total[node].fetch_sub(surplus.len() as u64, SeqCst);
        surplus.chunks(BATCH).for_each(|batch| pages::free_bulk(batch, self.size.order()));
        staying.chunks(BATCH).for_each(|batch| self.free[node].push_all(batch));
        // A shrinking pool with more claims than free pages may have added claims again meanwhile: for these pages.
        if self.total() > self.wanted() {
            self.shed(node, staying.len() as u64);
        }
    }

    /// Returns the numbers of pages by node.
    pub fn count(&self) -> PoolCount {
        let node = |node: usize| NodeCount {
            pool: self.total[node].load(SeqCst),
            pool_free: self.free[node].len(),
            allocator: stats::free_blocks_on(node, self.size.order()),
        };
        PoolCount { size: self.size, nodes: (0..nodes::nodes().len()).map(node).collect() }
    }
}

/// Pages of one size on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeCount {
    /// In the pool, free or in use.
    pub pool: u64,
    /// In the pool and free.
    pub pool_free: u64,
    /// Not in the pool, but available from the allocator.
    pub allocator: u64,
}

/// Pages of one size, by node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolCount {
    /// Their size.
    pub size: HugeSize,
    /// By node number.
    pub nodes: Vec<NodeCount>,
}

impl fmt::Display for PoolCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pages of {}:", self.size)?;
        for (number, node) in self.nodes.iter().enumerate() {
            let NodeCount { pool, pool_free, allocator } = node;
            let separator = if number > 0 { ";" } else { "" };
            write!(
                f,
                "{separator} node {number} {pool_free} free of {pool} in the pool, {allocator} outside"
            )?;
        }
        Ok(())
    }
}
