//! KTAP: results of in-kernel tests, printed by the kernel and parsed by the host.
//!
//! The format is the flat form of the kernel test protocol (`Documentation/dev-tools/ktap.rst` in the Linux tree). A version
//! line and a plan come first, then one result line for each test. Diagnostic lines stand before the result to which they
//! belong. Lines of the kernel's log may stand between them. A [`Line`] prints without its newline; the kernel sends each
//! line in one piece, from column 0 on.
//!
//! ```text
//! KTAP version 1
//! 1..3
//! # start: sched::joins
//! ok 1 sched::joins # time=0.412ms
//! # start: mm::splits
//! # left: 3, right: 4
//! not ok 2 mm::splits # time=1.050ms
//! # start: numa::local
//! ok 3 numa::local # SKIP needs two nodes
//! ```

mod line;
#[cfg(feature = "std")]
mod results;

pub use line::{Line, Outcome};
#[cfg(feature = "std")]
pub use results::{Results, TestResult};
