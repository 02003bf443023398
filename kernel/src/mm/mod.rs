//! Memory: from the firmware's map to page frames, stacks and huge pages.
//!
//! The modules in layers, each using only those above it:
//!
//! | layer | modules |
//! |---|---|
//! | address space | [`space`]: the page tables; [`early`]: allocation before the page allocator; [`heap`] |
//! | what pages are | [`layout`]; [`zones`]; [`mem_map`]: from a page frame number to descriptor and zone |
//! | contents | [`zero`]: clears pages; `poison`: finds writes after free |
//! | caches | [`page_stack`]; [`page_cache`]: for each CPU; [`zero_pool`]: pre-zeroed pages; [`stats`]: counts |
//! | allocation | [`descriptors`]: memory map init; [`idle_help`]: by idle CPUs; [`pages`]: the page allocator |
//! | users | [`permanent`], [`stacks`], [`file_pages`]: kept after their files are closed; [`huge`], [`huge_pool`], [`zero_calibration`] |

pub mod descriptors;
pub mod early;
pub mod file_pages;
pub mod heap;
pub mod huge;
pub mod huge_pool;
pub mod idle_help;
pub mod layout;
pub mod mem_map;
pub mod page_cache;
pub mod page_stack;
pub mod pages;
pub mod permanent;
mod poison;
pub mod space;
pub mod stacks;
pub mod stats;
pub mod zero;
pub mod zero_calibration;
pub mod zero_pool;
pub mod zones;
