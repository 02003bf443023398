//! Memory: from the firmware's map to page frames, stacks and huge pages.
//!
//! In the order in which they come up: [`early`] hands out memory by bumping
//! through the firmware's map and builds the kernel's page tables; [`heap`]
//! serves the small things; [`layout`] and [`descriptors`] say what each page is;
//! [`pages`] allocates page frames from then on, out of [`zones`], with
//! [`page_cache`] in front; [`stacks`], [`zero`] and [`huge`] stand on that, and what never goes back is [`permanent`].

pub mod descriptors;
pub mod early;
pub mod heap;
pub mod huge;
pub mod huge_pool;
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
