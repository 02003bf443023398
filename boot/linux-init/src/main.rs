//! The first program of a Linux guest: times Linux's jobs by the rules of the ktask kernel, and reports them in its records.
//!
//! The target is the kernel's: a static program without a C library needs no other tool. The records go to the second serial
//! port, the verdict to the device at [`protocol::exit::PORT`]. Both are what the host expects of the ktask kernel.
//!
//! Arguments: bytes that each job works on, and runs of each job.

#![no_std]
#![no_main]

mod files;
mod jobs;
mod records;
mod system;

use files::{Path, make_folder, mount};
use jobs::Plan;
use protocol::exit::Verdict;
use records::Records;
use system::{Error, log};

core::arch::global_asm!(
    // The stack has the number of arguments, then their addresses (System V ABI).
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, [rsp]",
    "lea rsi, [rsp + 8]",
    "and rsp, -16",
    "call {start}",
    start = sym start,
);

/// Is called by the entry point with the arguments that Linux left on the stack.
extern "C" fn start(count: usize, arguments: *const *const u8) -> ! {
    let argument = |index: usize| {
        let given = index < count;
        // SAFETY: Linux put `count` addresses of strings with a final zero at `arguments`, and they stay there.
        given.then(|| unsafe { system::number_at(*arguments.add(index)) }).flatten()
    };
    let plan = argument(1).zip(argument(2)).map(|(bytes, repeat)| Plan { bytes, repeat });
    let verdict = match plan.ok_or(Error::ARGUMENTS).and_then(|plan| run(&plan)) {
        Ok(true) => Verdict::Pass,
        Ok(false) => Verdict::Fail,
        Err(error) => {
            log(format_args!("linux-init: {} failed with error {}", error.what, error.number));
            Verdict::Fail
        }
    };
    system::exit(verdict)
}

/// Times all jobs; returns whether every result was right.
fn run(plan: &Plan) -> Result<bool, Error> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        make_folder(&Path::new(place))?;
        mount(&Path::new(kind), &Path::new(place), &Path::new(""))?;
    }
    let mut records = Records::open()?;
    // The page of 1 GiB first: later, memory is in pieces.
    let gigantic = jobs::gigantic(plan, &mut records)?;
    let huge = jobs::huge(plan, &mut records)?;
    records.end(gigantic && huge)?;
    Ok(gigantic && huge)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    log(format_args!("linux-init: {info}"));
    system::exit(Verdict::Panic)
}
