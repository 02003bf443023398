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
/// must be each other's inverse. `u64` and `usize` are units without a kind: they suit indices of
/// slices.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no unit of a job",
    note = "units are `u64`, `usize`, `Pages`, `HugePages`, `Bytes`, `Items` and types made by `ktask::unit!`",
    note = "for a range of literals, name the type: `0..1000_u64`"
)]
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
/// The type can be added, subtracted and multiplied by a number; overflow is a bug, as with `u64`.
/// `checked_` and `saturating_` forms exist for sums that may overflow.
///
/// ```
/// ktask::unit! {
///     /// Counts inode blocks.
///     pub struct Blocks = "block";
/// }
/// let four = Blocks::new(4);
/// assert_eq!(four.get(), 4);
/// assert_eq!(four.to_string(), "4 block");
/// assert_eq!(four + four * 3, Blocks::from(16));
/// assert_eq!(four.saturating_sub(Blocks::new(5)), Blocks::new(0));
/// assert_eq!(u64::from(four), 4);
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

            /// Returns the sum, or `None` if it overflows.
            #[must_use]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Returns the difference, or `None` if it would be negative.
            #[must_use]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }

            /// Returns the sum, or the largest count if it overflows.
            #[must_use]
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// Returns the difference, or 0 if it would be negative.
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }

            /// Returns the product, or the largest count if it overflows.
            #[must_use]
            pub const fn saturating_mul(self, factor: u64) -> Self {
                Self(self.0.saturating_mul(factor))
            }
        }

        impl ::core::ops::Add for $Name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl ::core::ops::Sub for $Name {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl ::core::ops::Mul<u64> for $Name {
            type Output = Self;

            fn mul(self, factor: u64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl ::core::ops::AddAssign for $Name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl ::core::ops::SubAssign for $Name {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }

        impl ::core::iter::Sum for $Name {
            fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
                counts.fold(Self(0), |sum, count| sum + count)
            }
        }

        impl ::core::convert::From<u64> for $Name {
            fn from(count: u64) -> Self {
                Self(count)
            }
        }

        impl ::core::convert::From<$Name> for u64 {
            fn from(count: $Name) -> Self {
                count.0
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

impl Unit for u64 {
    const NAME: &'static str = "unit";

    fn from_raw(raw: u64) -> Self {
        raw
    }

    fn raw(self) -> u64 {
        self
    }
}

impl Unit for usize {
    const NAME: &'static str = "index";

    fn from_raw(raw: u64) -> Self {
        // No loss: the number lies in a range whose ends were of this type.
        raw as Self
    }

    fn raw(self) -> u64 {
        self as u64
    }
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
