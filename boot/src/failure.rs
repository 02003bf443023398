//! Why the host command ends early.

use protocol::exit::HostStatus;
use std::fmt;

/// A reason to end, and the exit status that goes with it.
///
/// The message says what is wrong, which value, and what would be right; it is shown after `error: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the process exits with.
    pub status: HostStatus,
    /// What the user reads.
    pub message: String,
}

impl Failure {
    /// The command line makes no sense, or something that is needed is missing (status 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { status: HostStatus::Usage, message: message.into() }
    }

    /// The kernel could not be built, or a file not be written (status 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self { status: HostStatus::Fail, message: message.into() }
    }

    /// QEMU could not be started or spoken to (status 5).
    pub fn qemu(message: impl Into<String>) -> Self {
        Self { status: HostStatus::Qemu, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
