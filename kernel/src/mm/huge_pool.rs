//! Huge pages set aside: a pool of each size, by node.

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

/// Blocks that move between allocator and pool under one hold of the lock.
const BATCH: usize = 64;

/// Huge pages of one size. Their contents are whatever was there before.
pub struct HugePool {
    size: HugeSize,
    free: [PageStack; MAX_NODES],
    /// Pages of the pool, free or in use, by node.
    total: [AtomicU64; MAX_NODES],
    /// Pages of all nodes, and those that there should be. What is given back beyond leaves the pool.
    account: PoolSize,
}

static POOL_2M: HugePool = HugePool::new(HugeSize::Size2M);
static POOL_1G: HugePool = HugePool::new(HugeSize::Size1G);

/// The pool of huge pages of `size`.
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
            account: PoolSize::new(),
        }
    }

    /// Pages of the pool, free or in use.
    pub fn total(&self) -> u64 {
        self.account.total()
    }

    /// Pages that nobody uses.
    pub fn free(&self) -> u64 {
        self.free.iter().map(PageStack::len).sum()
    }

    /// Pages that the pool should have, as [`set_wanted`](Self::set_wanted) was told last.
    pub fn wanted(&self) -> u64 {
        self.account.wanted()
    }

    /// Says how many pages the pool should have. [`grow`](Self::grow) and
    /// [`shed`](Self::shed) get it there.
    pub fn set_wanted(&self, wanted: u64) {
        self.account.set_wanted(wanted);
    }

    /// Takes up to `count` pages from the allocator on `node`; returns how many
    /// there were.
    pub fn grow(&self, node: usize, count: u64) -> u64 {
        let allowed = pages::count_job_allocations(count);
        let mut batch = [Pfn(0); BATCH];
        let mut taken = 0;
        while taken < allowed {
            let len = (allowed - taken).min(BATCH as u64) as usize;
            let got = pages::alloc_bulk_on(node, self.size.order(), &mut batch[..len]);
            self.free[node].push_all(&batch[..got]);
            self.total[node].fetch_add(got as u64, SeqCst);
            self.account.add(got as u64);
            taken += got as u64;
            if got < len {
                break;
            }
        }
        taken
    }

    /// Gives up to `count` free pages of `node` back to the allocator, wanted or
    /// not: what [`grow`](Self::grow) took in vain.
    pub fn shrink(&self, node: usize, count: u64) {
        self.give_back(node, count, |most| self.account.remove(most));
    }

    /// Gives free pages of `node` back to the allocator, as far as the pool has
    /// more than are wanted; returns how many.
    pub fn shed(&self, node: usize) -> u64 {
        self.give_back(node, u64::MAX, |most| self.account.shed(most))
    }

    /// Gives up to `count` free pages of `node` back. `claim` takes up to so many
    /// out of the account and returns how many; those for which there is no free
    /// page are added again.
    fn give_back(&self, node: usize, count: u64, claim: impl Fn(u64) -> u64) -> u64 {
        let mut batch = [Pfn(0); BATCH];
        let mut given = 0;
        while given < count {
            let claimed = claim((count - given).min(BATCH as u64));
            let got = self.free[node].pop_some(&mut batch[..claimed as usize]) as u64;
            self.account.add(claimed - got);
            self.total[node].fetch_sub(got, SeqCst);
            pages::free_bulk(&batch[..got as usize], self.size.order());
            given += got;
            // A page may have been put back while it was claimed.
            if claimed == 0 || got < claimed && self.free[node].len() == 0 {
                break;
            }
        }
        given
    }

    /// Takes a free page, as near to this CPU's node as can be.
    pub fn take(&self) -> Option<Pfn> {
        if pages::count_job_allocations(1) == 0 {
            return None;
        }
        let here = nodes::current();
        // Nearly always the node's own; the order of the others is looked up only then.
        self.free[here]
            .pop()
            .or_else(|| mem_map::zones().near(here).find_map(|zone| self.free[zone.node].pop()))
    }

    /// Gives back what [`take`](Self::take) gave.
    pub fn put(&self, page: Pfn) {
        let node = mem_map::node_of(page).expect("a huge page is memory");
        if self.account.shed(1) == 1 {
            self.total[node].fetch_sub(1, SeqCst);
            pages::free(page, self.size.order());
        } else {
            self.free[node].push(page);
            // A shrinking pool that found fewer free pages than it had claimed may have counted this one back meanwhile.
            if self.account.shed(1) == 1 {
                match self.free[node].pop() {
                    Some(page) => {
                        self.total[node].fetch_sub(1, SeqCst);
                        pages::free(page, self.size.order());
                    }
                    None => self.account.add(1),
                }
            }
        }
    }

    /// What there is now, on which node.
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
    /// Not in the pool, but could be had from the allocator.
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
