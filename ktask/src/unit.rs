//! What a job counts in.
//!
//! A chunk size in bytes handed to a job that counts pages gives one chunk and
//! so one thread, and nothing fails: the posted kernel versions of this idea
//! did that twice. Here each count has a type of its own, and a mix-up does not
//! compile:
//!
//! ```compile_fail
//! use ktask::{Bytes, Job, Pages};
//! // 128 MiB where a number of pages is wanted.
//! let job = Job::new(Pages::new(0)..Pages::new(262_144)).min_chunk(Bytes::new(128 << 20));
//! ```

use core::fmt::Debug;

/// A count of one sort of thing, and a position in a row of them.
///
/// Implement it with [`unit!`](crate::unit!); the trait has nothing to get
/// wrong but the two conversions, which must be each other's inverse.
pub trait Unit: Copy + Ord + Debug + Send + Sync + 'static {
    /// One of them, in singular and lower case, for reports: `"page-4k"`.
    const NAME: &'static str;

    /// The count `raw` of this unit.
    fn from_raw(raw: u64) -> Self;

    /// The bare number.
    fn raw(self) -> u64;
}

/// Makes a unit type of the client's own.
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
            /// A count of this many.
            #[must_use]
            pub const fn new(count: u64) -> Self {
                Self(count)
            }

            /// The bare number.
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
    /// Base pages: the smallest page of the machine, 4 KiB on x86.
    pub struct Pages = "page";
}

unit! {
    /// Huge pages of whatever one size the job is about.
    pub struct HugePages = "huge page";
}

unit! {
    /// Bytes.
    pub struct Bytes = "byte";
}

unit! {
    /// Plain items: elements of a slice, steps of a walk.
    pub struct Items = "item";
}
