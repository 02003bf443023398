//! The kernel's clients of ktask, one file each, and what ktask needs of the kernel ([`platform`], [`helpers`]).

pub mod cached_file;
pub mod clearing;
pub mod evict_cache;
pub mod helpers;
pub mod huge_file;
pub mod huge_pool;
pub mod huge_reserve;
mod kernel;
pub mod leaks;
pub mod manners;
pub mod memory_map_init;
pub mod node_stats;
pub mod platform;
mod register;
pub mod rounds;
pub mod store_loop;
mod timed;
pub mod timing;
pub mod zero_pages;
