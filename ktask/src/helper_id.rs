//! The number of a helper.

/// The number of a helper that [`Platform::start_helper`](crate::Platform::start_helper) accepted.
///
/// The platform chooses the number. A job may ask about a helper that ended long ago. So the
/// platform must not reuse a number while the job that got it runs. A 64-bit counter, or a slot
/// index with a generation in the upper bits, meets this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HelperId(pub u64);
