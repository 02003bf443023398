//! `mem` and `verify`: the page allocator's contents and consistency.

use frames::{MAX_ORDER, PAGE_SIZE, order_pages};
use params::Bytes;
use shell::table::Table;

use super::output::{Millis, Outcome, print_table};
use crate::arch::tsc;
use crate::console::print_line;
use crate::mm::{file_pages, heap, mem_map, pages, permanent, stats, zero_pool};
use crate::platform::nodes;

/// Shows zones, free blocks and cached pages.
pub fn show() {
    let mut zones = Table::new(["zone>", "node>", "pages>", "free>", "min>", "low>", "high>"]);
    let mut blocks = Table::new(["zone>", "block>", "free>", "MiB>"]);
    for (number, zone) in mem_map::zones().iter().enumerate() {
        // One snapshot under the lock; printing is outside it.
        let (free_pages, free_blocks) = {
            let allocator = zone.allocator.lock();
            let free_blocks: [u64; frames::ORDERS] =
                core::array::from_fn(|order| allocator.free_blocks(order as u8));
            (allocator.free_pages(), free_blocks)
        };
        let marks = zone.marks;
        zones.row([
            &number,
            &zone.node,
            &zone.managed_pages,
            &free_pages,
            &marks.min_pages,
            &marks.low_pages,
            &marks.high_pages,
        ]);
        for order in (0..=MAX_ORDER).filter(|order| free_blocks[usize::from(*order)] > 0) {
            let count = free_blocks[usize::from(order)];
            let bytes = order_pages(order) * PAGE_SIZE;
            blocks.row([&number, &Bytes(bytes), &count, &((count * bytes) >> 20)]);
        }
    }
    print_table(&zones);
    print_table(&blocks);
    let zeroed: u64 = (0..nodes::nodes().len()).map(zero_pool::len).sum();
    let (heap_used, heap_free) = heap::usage();
    print_line(format_args!(
        "{} pages in use, {} of them for good in stacks and page tables; {} in cpu caches, {zeroed} pre-zeroed",
        stats::allocated_pages(),
        permanent::pages(),
        stats::cached_pages()
    ));
    print_line(format_args!("{} pages of files in memory, open or closed", file_pages::len()));
    print_line(format_args!("heap: {} KiB used, {} KiB free", heap_used >> 10, heap_free >> 10));
}

/// Checks all lists, descriptors and counts of the allocator.
pub fn verify() -> Outcome {
    let start_ns = tsc::now_ns();
    let census =
        pages::verify().map_err(|error| alloc::format!("the page allocator is not sound: {error}"))?;
    let ns = tsc::since_ns(start_ns);
    let mut table = Table::new(["pages", "count>", "MiB>"]);
    for (name, count) in [
        ("free", census.free_pages),
        ("allocated", census.allocated_pages),
        ("cached", census.cached_pages),
        ("reserved", census.reserved_pages),
        ("not freed yet", census.unclaimed_pages),
    ] {
        table.row([&name, &count, &((count * PAGE_SIZE) >> 20)]);
    }
    print_table(&table);
    print_line(format_args!("sound: every list, descriptor and count agrees; {} ms", Millis(ns)));
    Ok(())
}
