//! The ktask kernel: starts every CPU, and does its memory work on all of them through [`ktask`].
//!
//! This file is the boot, top-down; each step is a function in [`boot`]. The boot CPU runs [`kernel_main`] and becomes an
//! idle CPU. The rest of the boot is the first kernel thread, [`main_thread`].
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

/// Boots the kernel. Every entry calls it on the boot CPU, with interrupts off. At least the first 4 GiB of physical memory
/// are mapped, as `boot_info` says.
#[unsafe(no_mangle)]
fn kernel_main(boot_info: &'static mut BootInfo) -> ! {
    boot::console_and_traps();
    // SAFETY: called once, while the boot CPU is alone (invariant 17).
    let memory_map = unsafe { platform::memory_map::read(boot_info) };
    let topology = boot::read_tables(boot_info, memory_map);
    let mut early = boot::own_page_tables(memory_map);
    boot::screen(memory_map, &mut early);
    boot::clock_and_apic(&topology, &mut early);
    let unfinished = boot::page_allocator(&mut early, topology);
    boot::start_scheduler(unfinished, main_thread);
    sched::idle_forever()
}

/// Runs the rest of the boot in the first thread, then the task of the command line.
fn main_thread(mut boot: boot::Unfinished) {
    boot.start_cpus();
    debug::trace::start_at_boot();
    debug::chaos::start_at_boot();
    boot.start_workers();
    boot.memory_map_init();
    boot.calibrate_zeroing();
    boot.reserve_huge_pages();
    jobs::manners::machine_is_up();
    boot.report();
    power::start();
    debug::watchdog::start();
    debug::fault::inject();
    tests::commit_misuse();
    let verdict = run();
    debug::chaos::finish();
    debug::trace::finish();
    power_off(verdict)
}

/// Runs the task of the parameter `run`. An error is the reason of the failure.
fn run() -> Result<(), &'static str> {
    let mut buffer = [0; params::TEXT_CAPACITY];
    let task = params::registry::RUN.get(&mut buffer);
    let (task, pattern) = task.split_once(':').unwrap_or((task, ""));
    match task {
        "shell" => shell::run(),
        "test" if !debug::ktest::run(pattern) => Err("a test failed, or no test has such a name"),
        "bench" if !bench::run(pattern) => Err("a benchmark failed, or none has such a name"),
        "timing" if !jobs::timing::run(None) => Err("the result of a job was wrong"),
        _ => Ok(()),
    }
}

/// Reports the verdict and ends the machine.
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
