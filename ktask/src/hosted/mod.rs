//! A platform for programs: helpers are standard threads of a pool.
//!
//! ```
//! use ktask::{Items, Job, hosted::Hosted};
//!
//! let platform = Hosted::new();
//! let stats = Job::new(Items::new(0)..Items::new(1_000_000))
//!     .min_chunk(Items::new(10_000))
//!     .run(&platform, |_chunk| {})
//!     .unwrap();
//! assert_eq!(stats.units, 1_000_000);
//! ```

extern crate std;

mod affinity;
mod builder;
mod locks;
mod platform;
mod pool;
mod timer_slack;
mod topology;

pub use builder::{BuildError, Builder};
pub use locks::{OrderedMutex, OrderedMutexGuard};
pub use platform::Hosted;
