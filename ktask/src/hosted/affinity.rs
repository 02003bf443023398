//! The CPUs of a thread, on Linux. The standard library has no functions for them.
//!
//! Other systems: no CPU is known, and no thread can be bound.
#![allow(unsafe_code)]

use std::vec::Vec;

/// Returns the CPUs that the calling thread may run on, or `None` if the system does not tell.
pub(super) fn allowed_cpus() -> Option<Vec<usize>> {
    imp::allowed_cpus()
}

/// Returns the CPU that the calling thread runs on now, or `None` if the system does not tell.
pub(super) fn current_cpu() -> Option<usize> {
    imp::current_cpu()
}

/// Binds the calling thread to `cpus`.
///
/// # Errors
///
/// The system's error number; `None` if the system has no such function.
pub(super) fn bind_this_thread(cpus: &[usize]) -> Result<(), Option<i32>> {
    imp::bind_this_thread(cpus)
}

#[cfg(target_os = "linux")]
mod imp {
    use core::ffi::{c_int, c_ulong};
    use std::vec::Vec;

    const WORD_BITS: usize = c_ulong::BITS as usize;

    /// A set of 8192 CPUs, the most that Linux can be built for.
    type CpuSet = [c_ulong; 8192 / WORD_BITS];

    // SAFETY: the declarations are those of the C library on Linux, with `cpu_set_t` of any size. The
    // standard library links the C library, which defines the functions.
    unsafe extern "C" {
        fn sched_getaffinity(pid: c_int, bytes: usize, cpus: *mut c_ulong) -> c_int;
        fn sched_setaffinity(pid: c_int, bytes: usize, cpus: *const c_ulong) -> c_int;
        fn sched_getcpu() -> c_int;
    }

    /// The process number that means the calling thread.
    const THIS_THREAD: c_int = 0;

    pub(super) fn allowed_cpus() -> Option<Vec<usize>> {
        let mut set: CpuSet = [0; 8192 / WORD_BITS];
        // SAFETY: the pointer is to a set of the given size, writable, that outlives the call.
        let result = unsafe { sched_getaffinity(THIS_THREAD, size_of::<CpuSet>(), set.as_mut_ptr()) };
        let contains = |cpu: &usize| set[cpu / WORD_BITS] >> (cpu % WORD_BITS) & 1 == 1;
        (result >= 0).then(|| (0..set.len() * WORD_BITS).filter(contains).collect())
    }

    pub(super) fn current_cpu() -> Option<usize> {
        // SAFETY: the function has no preconditions.
        usize::try_from(unsafe { sched_getcpu() }).ok()
    }

    pub(super) fn bind_this_thread(cpus: &[usize]) -> Result<(), Option<i32>> {
        let mut set: CpuSet = [0; 8192 / WORD_BITS];
        for cpu in cpus {
            if let Some(word) = set.get_mut(cpu / WORD_BITS) {
                *word |= 1 << (cpu % WORD_BITS);
            }
        }
        // SAFETY: the pointer is to a set of the given size that outlives the call.
        if unsafe { sched_setaffinity(THIS_THREAD, size_of::<CpuSet>(), set.as_ptr()) } == 0 {
            return Ok(());
        }
        Err(std::io::Error::last_os_error().raw_os_error())
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::vec::Vec;

    pub(super) fn allowed_cpus() -> Option<Vec<usize>> {
        None
    }

    pub(super) fn current_cpu() -> Option<usize> {
        None
    }

    pub(super) fn bind_this_thread(_cpus: &[usize]) -> Result<(), Option<i32>> {
        Err(None)
    }
}
