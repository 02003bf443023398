//! The ktask kernel: starts every CPU, and does its own memory work on all of
//! them through [`ktask`].
//!
//! This file is the boot, top-down; each step has a room of its own. The boot
//! CPU walks through [`kernel_main`] and becomes an idle CPU; the rest of the
//! boot is the first kernel thread, [`main_thread`].
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod bench;
mod boot;
mod console;
mod debug;
mod jobs;
mod mm;
mod platform;
mod power;
mod sched;
mod shell;
mod tests;

use bootloader_api::BootInfo;
use protocol::exit::Verdict;

/// Where every entry leads: on the boot CPU, interrupts off, first 4 GiB (or
/// all) of physical memory mapped as `boot_info` says.
#[unsafe(no_mangle)]
fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    boot::console_and_traps();
    // SAFETY: once, on the boot CPU, which is alone.
    let memory_map = unsafe { platform::memory_map(boot_info) };
    let topology = platform::topology(boot_info, memory_map);
    let mut early = boot::own_page_tables(memory_map);
    boot::clock_and_apic(&topology, &mut early);
    let unfinished = boot::page_allocator(&mut early, topology);
    boot::start_scheduler(unfinished, main_thread);
    sched::idle_forever()
}

/// The first thread: the rest of the boot, then what the command line asked for.
fn main_thread(mut boot: boot::Unfinished) {
    boot.start_cpus();
    debug::trace::start_at_boot();
    boot.start_workers();
    boot.memory_map_init();
    boot.calibrate_zeroing();
    boot.reserve_huge_pages();
    boot.report();
    power::start();
    debug::watchdog::start();
    debug::fault::inject();
    tests::commit_misuse();
    let verdict = run();
    debug::trace::finish();
    power_off(verdict)
}

/// Does what `run` says: `Ok`, or why not.
fn run() -> Result<(), &'static str> {
    let mut buffer = [0; params::TEXT_CAPACITY];
    let what = params::registry::RUN.get(&mut buffer);
    let (what, pattern) = what.split_once(':').unwrap_or((what, ""));
    match what {
        "shell" => shell::run(),
        "test" if !debug::ktest::run(pattern) => Err("a test failed, or no test has such a name"),
        "bench" if !bench::run(pattern) => Err("a benchmark failed, or none has such a name"),
        "timing" if !jobs::timing::run(None) => Err("the result of a job was wrong"),
        _ => Ok(()),
    }
}

fn power_off(verdict: Result<(), &'static str>) -> ! {
    use protocol::record::Status;
    debug::watchdog::stop();
    let verdict = match verdict {
        Ok(()) => {
            log::info!("pass");
            console::records::end(Status::Pass, "");
            Verdict::Pass
        }
        Err(reason) => {
            log::error!("fail: {reason}");
            console::records::end(Status::Fail, reason);
            Verdict::Fail
        }
    };
    console::drain();
    arch::exit::power_off(verdict)
}
