//! Feeds the kernel's parsers with millions of broken inputs, on the host.
//!
//! Everything that firmware, loader or terminal can send goes through a parser
//! of `firmware`, `params` or `shell`. Each [`Target`](targets::Target) makes an
//! input out of a number, by breaking a sound one, parses it, uses what was
//! parsed to the end, and asserts what the kernel relies on. An input is made
//! of the seed and its own number alone, so a failure can be repeated.
//!
//! ```text
//! cargo run --release -p stress --example stress -- --inputs 10000000           # of each target
//! cargo run --release -p stress --example stress -- --target map --first 4711 --inputs 1
//! ```

pub mod input;
pub mod targets;
