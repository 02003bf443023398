//! The fair queue: shares follow weights, no thread starves, and none gains by sleeping or migrating.
#![cfg(not(loom))]

mod charges;
mod cpu;
mod moves;
mod sleep;
mod slices;
mod weights;
