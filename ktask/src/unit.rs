//! The units that jobs count in.
//!
//! A chunk size in bytes, given to a job that counts pages, makes one chunk and thus one thread,
//! and no error. The posted kernel versions had this defect twice. Here each unit is a separate
//! type, and a mix-up does not compile:
//!
//! ```compile_fail
//! use ktask::{Bytes, Job, Pages};
//! // 128 MiB where a number of pages is wanted.
//! let job = Job::new(Pages::new(0)..Pages::new(262_144)).min_chunk(Bytes::new(128 << 20));
//! ```

use core::fmt::Debug;

/// A count of one kind of item, and a position in a sequence of them.
///
/// Implement it with [`unit!`](crate::unit!). In a manual implementation, the two conversions
/// must be each other's inverse.
pub trait Unit: Copy + Ord + Debug + Send + Sync + 'static {
    /// The unit's name in reports, singular and lower case: `"page-4k"`.
    const NAME: &'static str;

    /// Makes a count of `raw` units.
    fn from_raw(raw: u64) -> Self;

    /// Returns the plain number.
    fn raw(self) -> u64;
}

/// Defines a unit type for a client.
///
/// ```
/// ktask::unit! {
///     /// Counts inode blocks.
///     pub struct Blocks = "block";
/// }
/// let four = Blocks::new(4);
/// assert_eq!(four.get(), 4);
/// assert_eq!(four.to_string(), "4 block");
/// ```
#[macro_export]
macro_rules! unit {
    ($(#[$meta:meta])* $vis:vis struct $Name:ident = $name:literal;) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $Name(u64);

        impl $Name {
            /// Makes a count of `count` units.
            #[must_use]
            pub const fn new(count: u64) -> Self {
                Self(count)
            }

            /// Returns the plain number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl $crate::Unit for $Name {
            const NAME: &'static str = $name;

            fn from_raw(raw: u64) -> Self {
                Self(raw)
            }

            fn raw(self) -> u64 {
                self.0
            }
        }

        impl ::core::fmt::Display for $Name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::write!(f, "{} {}", self.0, $name)
            }
        }
    };
}

unit! {
    /// Base pages, the smallest pages of the machine: 4 KiB on x86.
    pub struct Pages = "page";
}

unit! {
    /// Huge pages, all of the size that the job handles.
    pub struct HugePages = "huge page";
}

unit! {
    /// Bytes.
    pub struct Bytes = "byte";
}

unit! {
    /// Items: elements of a slice, steps of a walk.
    pub struct Items = "item";
}
