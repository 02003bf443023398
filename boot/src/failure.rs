//! Reasons for which the host command ends early.

use protocol::exit::HostStatus;
use std::fmt;

/// A reason to end, with its exit status.
///
/// The message states what is wrong, the value, and what would be right. It is printed after `error: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit status of the process.
    pub status: HostStatus,
    /// Message for the user.
    pub message: String,
}

impl Failure {
    /// Reports a wrong command line or a missing prerequisite (status 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { status: HostStatus::Usage, message: message.into() }
    }

    /// Reports a kernel that does not build, or a file that cannot be written (status 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self { status: HostStatus::Fail, message: message.into() }
    }

    /// Reports a QEMU that cannot be started or controlled (status 5).
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
