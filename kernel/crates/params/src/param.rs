//! The trait through which the registry sees a parameter, and why a value is refused.

use core::fmt::{self, Display};

/// One parameter, as the registry sees it.
pub trait Param: Sync {
    /// The dotted name.
    fn name(&self) -> &'static str;
    /// One sentence: what it does.
    fn help(&self) -> &'static str;
    /// Parses `value`, checks it and stores it; on error the old value stays.
    fn set(&self, value: &str) -> Result<(), NotAllowed>;
    /// Writes the current value, in a form that [`set`](Param::set) takes.
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Writes the default value.
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Writes what is allowed, such as `0..=256` or `on|off`.
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// The value was not among those allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAllowed;

/// Why a `name=value` could not be applied. Displays as one line with the
/// name, the value and what would be right.
#[derive(Clone, Copy)]
pub enum SetError<'a> {
    /// No parameter has this name.
    Unknown {
        /// The name as given.
        name: &'a str,
        /// A registered name that looks like it.
        similar: Option<&'static str>,
    },
    /// The value does not fit the parameter.
    BadValue {
        /// The parameter.
        param: &'static dyn Param,
        /// The value as given.
        value: &'a str,
    },
    /// The parameter was read on the way up and is of no use any more.
    AtBootOnly {
        /// The parameter.
        param: &'static dyn Param,
        /// The value as given.
        value: &'a str,
    },
}

impl Display for SetError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Unknown { name, similar: Some(similar) } => {
                write!(f, "unknown parameter `{name}`; did you mean `{similar}`?")
            }
            SetError::Unknown { name, similar: None } => write!(f, "unknown parameter `{name}`"),
            SetError::BadValue { param, value } => {
                write!(f, "parameter {}: `{value}` is not allowed; allowed is ", param.name())?;
                param.write_allowed(f)?;
                write!(f, "; it stays ")?;
                param.write_value(f)
            }
            SetError::AtBootOnly { param, value } => {
                let name = param.name();
                write!(
                    f,
                    "parameter {name} is only read at boot; put {name}={value} on the command line; it stays "
                )?;
                param.write_value(f)
            }
        }
    }
}

impl fmt::Debug for SetError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetError({self})")
    }
}
