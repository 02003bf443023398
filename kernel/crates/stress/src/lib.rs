//! Stress test of the kernel's parsers, on the host: millions of broken inputs.
//!
//! All input from firmware, loader and terminal goes through a parser of `firmware`, `params` or `shell`. Each
//! [`Target`](targets::Target) makes an input by breaking a valid one, parses it, uses the whole result, and asserts
//! the properties on which the kernel relies. Only the seed and the input's number determine the input, so a failure
//! can be repeated.
//!
//! ```text
//! cargo run --release -p stress --example stress -- --inputs 10000000           # of each target
//! cargo run --release -p stress --example stress -- --target map --first 4711 --inputs 1
//! ```

pub mod input;
pub mod targets;
