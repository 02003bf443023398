//! What a kernel does at its switch points when it runs under chaos: nothing, a delay, a preemption, or an interrupt to
//! another CPU.
//!
//! A *switch point* is a place where another thread or CPU could come in between anyway: [`Point`] lists the kinds. A
//! [`Stream`] for each CPU decides what happens at that CPU's n-th point. It is pseudo-random and follows from the seed and
//! the CPU's number alone. Each point takes one draw, whatever comes of it, so the number of draws does not depend on time.
//! A machine that executes the same instructions again makes the same decisions again. [`Digest`] proves it.
//!
//! A seed also chooses a [`Temper`]: how often each action happens, how long delays are, and at which kinds of points.
//! Leaving kinds out finds bugs that an even mixture of all hides (Groce and others, "Swarm Testing", ISSTA 2012).
#![no_std]
#![forbid(unsafe_code)]

mod digest;
mod point;
mod random;
mod stream;
mod temper;

pub use digest::Digest;
pub use point::{Action, Point};
pub use stream::{Place, Seeding, Stream};
pub use temper::Temper;
