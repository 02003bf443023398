//! System calls.

use core::arch::asm;
use core::fmt::{self, Write};
use protocol::exit::{PORT, Verdict};

/// A system call that failed.
#[derive(Clone, Copy, Debug)]
pub struct Error {
    /// What was done.
    pub what: &'static str,
    /// Linux's number of the error.
    pub number: isize,
}

impl Error {
    /// The program has other arguments than it needs.
    pub const ARGUMENTS: Self = Self { what: "reading the arguments", number: -22 };
}

/// Numbers of system calls.
pub mod call {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const OPEN: usize = 2;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const MUNMAP: usize = 11;
    pub const IOCTL: usize = 16;
    pub const FTRUNCATE: usize = 77;
    pub const MKDIR: usize = 83;
    pub const UNLINK: usize = 87;
    pub const MOUNT: usize = 165;
    pub const IOPERM: usize = 173;
    pub const EXIT_GROUP: usize = 231;
    pub const CLOCK_GETTIME: usize = 228;
    pub const FALLOCATE: usize = 285;
}

/// Standard output: Linux's console.
const OUTPUT: usize = 1;
/// Waits until a terminal has sent everything (`TCSBRK` with an argument other than 0).
const DRAIN: usize = 0x5409;
/// Clocks.
const MONOTONIC: usize = 1;
const OWN_CPU_TIME: usize = 2;

/// Makes the system call `number` and returns its result.
///
/// # Errors
///
/// When Linux returns an error; `what` names the call.
///
/// # Safety
///
/// The arguments are as this call requires. Memory that they name is valid for what the call does, and the call takes away no
/// memory that is in use.
pub unsafe fn call(what: &'static str, number: usize, arguments: [usize; 6]) -> Result<usize, Error> {
    let result: isize;
    // SAFETY: the caller vouches for the arguments. Linux keeps all registers but rax, rcx and r11, and does not use the stack.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) {
        Err(Error { what, number: result })
    } else {
        Ok(result.cast_unsigned())
    }
}

/// Time by a clock, in nanoseconds.
fn clock(id: usize) -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: `time` has room for the seconds and nanoseconds that the call writes.
    let result =
        unsafe { call("clock_gettime", call::CLOCK_GETTIME, [id, (&raw mut time).addr(), 0, 0, 0, 0]) };
    result.expect("these clocks exist");
    time[0] * 1_000_000_000 + time[1]
}

/// Returns the time since the boot, in nanoseconds.
pub fn now_ns() -> u64 {
    clock(MONOTONIC)
}

/// Returns the CPU time of this program, in nanoseconds.
pub fn cpu_ns() -> u64 {
    clock(OWN_CPU_TIME)
}

/// Writes bytes to an open file.
///
/// # Errors
///
/// When Linux does not take all of them.
pub fn write(file: usize, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        let arguments = [file, bytes.as_ptr().addr(), bytes.len(), 0, 0, 0];
        // SAFETY: the call only reads the bytes of the slice.
        match unsafe { call("write", call::WRITE, arguments) }? {
            0 => return Err(Error { what: "write", number: -28 }),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

/// Waits until the terminal `file` has sent all that was written.
pub fn drain(file: usize) {
    // SAFETY: the call uses no memory. A file that is no terminal refuses it, and has nothing to send.
    let _ = unsafe { call("tcdrain", call::IOCTL, [file, DRAIN, 1, 0, 0, 0]) };
}

/// Writes a line to the console.
pub fn log(text: fmt::Arguments<'_>) {
    struct Console;
    impl Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            write(OUTPUT, text.as_bytes()).map_err(|_| fmt::Error)
        }
    }
    // A console that takes nothing cannot be told so.
    let _ = writeln!(Console, "{text}");
}

/// Ends the machine with a verdict.
pub fn exit(verdict: Verdict) -> ! {
    drain(OUTPUT);
    // SAFETY: the call uses no memory.
    let is_permitted = unsafe { call("ioperm", call::IOPERM, [usize::from(PORT), 4, 1, 0, 0, 0]) }.is_ok();
    if is_permitted {
        // SAFETY: Linux permits the port's four bytes to this program. The device there ends the machine, as it shall.
        unsafe { asm!("out dx, eax", in("dx") PORT, in("eax") verdict.code(), options(nomem, nostack)) };
    }
    loop {
        // SAFETY: the call uses no memory. Without its first program, Linux panics, and the host reads why.
        let _ = unsafe { call("exit_group", call::EXIT_GROUP, [1, 0, 0, 0, 0, 0]) };
    }
}

/// Reads a decimal number from a string with a final zero.
///
/// # Safety
///
/// `text` is the address of such a string.
pub unsafe fn number_at(mut text: *const u8) -> Option<usize> {
    let mut number = None;
    loop {
        // SAFETY: the caller vouches for the string, and no byte up to here was its final zero.
        let byte = unsafe { *text };
        match byte {
            0 => return number,
            b'0'..=b'9' => {
                let digit = usize::from(byte - b'0');
                number = Some(number.unwrap_or(0_usize).checked_mul(10)?.checked_add(digit)?);
            }
            _ => return None,
        }
        // SAFETY: the string goes on after a byte that is not its final zero.
        text = unsafe { text.add(1) };
    }
}
