//! `huge`, `reserve` and `release`: the pools of huge pages and their sizes.

use params::Param;
use params::registry::{HUGE_1G, HUGE_2M};
use shell::command::HugeSize as SizeArgument;
use shell::table::Table;

use super::output::{Outcome, print_table};
use crate::console::print_line;
use crate::jobs::huge_pool::{Resized, request, resize as resize_pool};
use crate::mm::huge::HugeSize;
use crate::mm::huge_pool;

/// Lists the pages of each size on each node.
pub fn list() {
    let mut table = Table::new(["size", "node>", "pool>", "free>", "used>", "outside>"]);
    for size in [HugeSize::Size2M, HugeSize::Size1G] {
        for (number, node) in huge_pool::pool(size).count().nodes.iter().enumerate() {
            let used = node.pool.saturating_sub(node.pool_free);
            table.row([&size, &number, &node.pool, &node.pool_free, &used, &node.allocator]);
        }
    }
    print_table(&table);
}

/// Moves `count` more pages into the pool.
pub fn reserve(size: SizeArgument, count: u64) -> Outcome {
    let size = size_of(size);
    let wanted = huge_pool::pool(size).total().saturating_add(count);
    resize_to(size, wanted)
}

/// Moves `count` pages out of the pool.
pub fn release(size: SizeArgument, count: u64) -> Outcome {
    let size = size_of(size);
    let total = huge_pool::pool(size).total();
    match total.checked_sub(count) {
        Some(wanted) => resize_to(size, wanted),
        None => Err(alloc::format!("the pool has {total} pages of {size}, {count} cannot be released")),
    }
}

fn size_of(size: SizeArgument) -> HugeSize {
    match size {
        SizeArgument::Size2M => HugeSize::Size2M,
        SizeArgument::Size1G => HugeSize::Size1G,
    }
}

fn parameter(size: HugeSize) -> &'static params::U64Param {
    match size {
        HugeSize::Size2M => &HUGE_2M,
        HugeSize::Size1G => &HUGE_1G,
    }
}

/// Sets the size's parameter and resizes the pool, as `sysctl` would.
fn resize_to(size: HugeSize, wanted: u64) -> Outcome {
    let param = parameter(size);
    set(param, wanted)?;
    resize(size, wanted)
}

fn set(param: &'static params::U64Param, value: u64) -> Outcome {
    let text = alloc::format!("{value}");
    param.set(&text).map_err(|_| alloc::format!("{}", params::SetError::BadValue { param, value: &text }))
}

/// Resizes the pool of `size` to `wanted` pages, which its parameter says already. If there are too few pages, sets the
/// parameter to their number: no pool grows later on its own.
pub fn resize(size: HugeSize, wanted: u64) -> Outcome {
    let result = resize_pool(size, request(wanted));
    let failure = match result {
        Ok(Resized { shortage: None, stats, .. }) => {
            let pool = huge_pool::pool(size);
            print_line(format_args!(
                "{} pages of {size} in the pool, {} free; {} threads used",
                pool.total(),
                pool.free(),
                stats.threads_used
            ));
            return Ok(());
        }
        Ok(Resized { shortage: Some(shortage), .. }) => alloc::format!("huge pages: {shortage}"),
        Err(error) => alloc::format!("huge pages: {error}"),
    };
    set(parameter(size), huge_pool::pool(size).total())?;
    Err(failure)
}
