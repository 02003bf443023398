//! The CPU time of a thread in programs.

/// Returns the CPU time of the calling thread in nanoseconds, on operating systems where this
/// crate can read it. The standard library has no function for it.
pub(crate) fn thread_cpu_time_ns() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    {
        /// `struct timespec` of 64-bit Linux.
        #[repr(C)]
        struct Timespec {
            seconds: i64,
            nanoseconds: i64,
        }
        const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
        // SAFETY: the declaration is that of POSIX for this target. The standard library links the
        // C library, which defines the function.
        unsafe extern "C" {
            fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
        }
        let mut time = Timespec { seconds: 0, nanoseconds: 0 };
        // SAFETY: the pointer is to a writable timespec that outlives the call.
        if unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut time) } == 0 {
            let seconds_ns = u64::try_from(time.seconds).ok()?.checked_mul(1_000_000_000)?;
            return seconds_ns.checked_add(u64::try_from(time.nanoseconds).ok()?);
        }
    }
    None
}
