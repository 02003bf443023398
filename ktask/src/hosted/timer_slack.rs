//! How exactly the system ends a thread's short sleeps.
// The standard library has no function for it.
#![allow(unsafe_code)]

/// Has the system end timed sleeps of the calling thread within a microsecond or so, where it otherwise
/// adds 50 us to save wake-ups. Only Linux does that; elsewhere nothing is changed.
pub(super) fn make_sleeps_exact() {
    #[cfg(target_os = "linux")]
    {
        use core::ffi::{c_int, c_ulong};

        const PR_SET_TIMERSLACK: c_int = 29;
        const SLACK_NS: c_ulong = 1_000;
        // SAFETY: the declaration is that of the C library, which the standard library links.
        unsafe extern "C" {
            fn prctl(option: c_int, ...) -> c_int;
        }
        const UNUSED: c_ulong = 0;
        // SAFETY: the option takes a number, no pointer, and changes the calling thread alone. A refusal
        // leaves the thread as it was.
        let _ = unsafe { prctl(PR_SET_TIMERSLACK, SLACK_NS, UNUSED, UNUSED, UNUSED) };
    }
}
