//! The trait through which the registry uses a parameter, and the errors of setting one.

use core::fmt::{self, Display};

/// A parameter, as the registry uses it.
pub trait Param: Sync {
    /// Returns the dotted name.
    fn name(&self) -> &'static str;
    /// Returns the description: one sentence.
    fn help(&self) -> &'static str;
    /// Parses, checks and stores `value`; on error the old value stays.
    fn set(&self, value: &str) -> Result<(), NotAllowed>;
    /// Writes the current value, in a form that [`set`](Param::set) takes.
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Writes the default value.
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Writes the allowed values, such as `0..=256` or `on|off`.
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// Error: the value is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAllowed;

/// Error of applying a `name=value`. Displays as one line with the name, the value and the allowed values.
#[derive(Clone, Copy)]
pub enum SetError<'a> {
    /// No parameter has this name.
    Unknown {
        /// The name as given.
        name: &'a str,
        /// A registered name that is spelled similarly.
        similar: Option<&'static str>,
    },
    /// The parameter does not allow the value.
    BadValue {
        /// The parameter.
        param: &'static dyn Param,
        /// The value as given.
        value: &'a str,
    },
    /// The parameter is only read during boot.
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
