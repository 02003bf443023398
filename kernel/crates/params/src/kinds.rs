//! The kinds of parameter.

mod number;
mod sequence;
mod word;

pub use number::{OptionParam, SizeParam, U64Param};
pub use sequence::{ListParam, TEXT_CAPACITY, TextParam};
pub use word::{BoolParam, ChoiceParam};
