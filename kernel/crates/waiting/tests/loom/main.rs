//! Models of waiting: loom runs each under every interleaving, with the park
//! state that the kernel's threads have.
//!
//! Needs `--cfg loom`; `models.rs` runs them in an ordinary test run.
#![cfg(loom)]

mod donation;
mod flush_generations;
mod handover;
mod idle_poll;
mod page_slot;
mod pool_size;
mod queue;
mod world;
