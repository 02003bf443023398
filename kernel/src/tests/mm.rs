//! Memory: allocator, descriptors, zeroing methods, stacks.

use alloc::vec::Vec;

use frames::{PAGE_SIZE, Pfn, order_pages};

use crate::arch::clear::{self, ClearMethod};
use crate::mm::{descriptors, pages, zero};
use crate::{check, kernel_tests, sched};

kernel_tests! { "mm":
    fn every_page_is_accounted_for() {
        let layout = descriptors::layout();
        let count = |ranges: &[core::ops::Range<Pfn>]| ranges.iter().map(|range| range.end.0 - range.start.0).sum::<u64>();
        let zone = pages::zone().lock();
        let census = match zone.verify() {
            Ok(census) => census,
            Err(error) => return Err(crate::debug::ktest::Stopped::Failed(alloc::format!("{error}"))),
        };
        check!(census.unclaimed_pages == 0, "{} pages were never freed", census.unclaimed_pages);
        let owned = census.free_pages + census.allocated_pages;
        check!(owned == count(&layout.free), "{owned} pages in the allocator, not {}", count(&layout.free));
        check!(census.reserved_pages == count(&layout.reserved), "{} pages reserved", census.reserved_pages);
    }

    fn blocks_are_aligned_and_disjoint() {
        let free_before = pages::free_pages();
        let mut taken: Vec<(Pfn, u8)> = Vec::new();
        for order in [0, 3, 9, 1, 0, 5, 2, 9, 0] {
            let Some(block) = pages::alloc(order) else {
                check!(false, "no block of order {order}");
                continue;
            };
            check!(block.is_aligned(order), "{:#x} is not aligned to order {order}", block.address());
            for (other, other_order) in &taken {
                let apart = block.0 + order_pages(order) <= other.0 || other.0 + order_pages(*other_order) <= block.0;
                check!(apart, "{:#x} and {:#x} overlap", block.address(), other.address());
            }
            taken.push((block, order));
        }
        for (block, order) in taken {
            pages::free(block, order);
        }
        check!(pages::free_pages() == free_before);
    }

    fn freeing_twice_is_refused() {
        let Some(block) = pages::alloc(2) else {
            return Err(crate::debug::ktest::Stopped::Failed("no block of order 2".into()));
        };
        check!(pages::try_free(block, 1).is_err(), "a block was freed with the wrong order");
        pages::free(block, 2);
        check!(pages::try_free(block, 2).is_err(), "a block was freed twice");
    }

    /// All CPUs at once, each page marked by its owner while it is held.
    fn the_allocator_survives_all_cpus() {
        let free_before = pages::free_pages();
        let threads: Vec<_> = (0..8u64)
            .map(|number| {
                sched::spawn("test/alloc", move || {
                    let mut state = number + 1;
                    for _ in 0..300 {
                        // A xorshift generator: any spread of orders will do.
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        let order = (state % 5) as u8;
                        if let Some(block) = pages::alloc(order) {
                            let mark = pages::virt(block).cast::<u64>();
                            // SAFETY: the block was just allocated (invariant 12), mapped and aligned.
                            unsafe { mark.write_volatile(number) };
                            sched::yield_now();
                            // SAFETY: as above.
                            let found = unsafe { mark.read_volatile() };
                            assert_eq!(found, number, "another owner wrote to page {:#x}", block.address());
                            pages::free(block, order);
                        }
                    }
                })
            })
            .collect();
        for thread in threads.into_iter().flatten() {
            thread.join();
        }
        // Stacks of these threads are kept for the next ones.
        let kept = free_before - pages::free_pages();
        check!(kept <= 8 * crate::mm::stacks::THREAD_STACK_PAGES + 8, "{kept} pages are missing");
        check!(pages::zone().lock().verify().is_ok());
    }

    fn every_zeroing_method_clears_exactly_its_extent() {
        let Some(block) = pages::alloc(2) else {
            return Err(crate::debug::ktest::Stopped::Failed("no block of order 2".into()));
        };
        let bytes = (order_pages(2) * PAGE_SIZE) as usize;
        let start = pages::virt(block);
        for method in ClearMethod::ALL.into_iter().filter(|method| method.is_available()) {
            for (from, len) in [(0, 128), (4096, 4096), (128, bytes - 256), (0, bytes), (4096, 0)] {
                // SAFETY: the block is ours (invariant 12); offsets and lengths are multiples of 128 within it.
                let wrong = unsafe {
                    clear::fill(start, bytes, u64::MAX);
                    clear::clear(method, start.add(from), len);
                    let all = core::slice::from_raw_parts(start, bytes);
                    all.iter().enumerate().position(|(at, byte)| {
                        let cleared = (from..from + len).contains(&at);
                        *byte != if cleared { 0 } else { 0xff }
                    })
                };
                check!(wrong.is_none(), "{}: byte {wrong:?} is wrong for {from}+{len}", method.name());
            }
        }
        pages::free(block, 2);
    }

    fn a_byte_that_is_not_zero_is_found() {
        let Some(page) = pages::alloc(0) else {
            return Err(crate::debug::ktest::Stopped::Failed("no page".into()));
        };
        for at in [0, 1, 2047, 4088, 4095] {
            // SAFETY: the page is ours (invariant 12) and `at` is within it.
            let (clean, dirty) = unsafe {
                zero::zero_frames(page, 1);
                let clean = zero::is_zero(page, 1);
                pages::virt(page).add(at).write(1);
                (clean, zero::is_zero(page, 1))
            };
            check!(clean && !dirty, "byte {at}: clean {clean}, dirty taken for clean {dirty}");
        }
        pages::free(page, 0);
    }
}
