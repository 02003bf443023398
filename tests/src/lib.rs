//! What the tests that boot the kernel share.
//!
//! [`shape`] are the machines, [`lab`] boots one and keeps the evidence, [`dialogue`] talks
//! with its shell, [`in_kernel`] makes a test of every test that
//! the kernel holds, on every shape; [`judged`] are scenarios that only an onlooker can judge: panics, hangs,
//! machines with faults, and what the timing run says. [`standin`] takes the firmware's place.

pub mod dialogue;
pub mod in_kernel;
pub mod judged;
pub mod lab;
pub mod monitor;
pub mod shape;
pub mod standin;
