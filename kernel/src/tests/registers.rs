//! Tests of the registers that each CPU sets up.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use frames::{PAGE_SIZE, order_pages};
use runqueue::CpuMask;
use spin::Once;

use super::sched::on_cpu;
use crate::arch::clear::{self, ClearMethod};
use crate::arch::{apic, cpu, cpu_registers, machine_check, percpu, simd};
use crate::mm::{mem_map, pages, zero};
use crate::sched;
use crate::{check, kernel_tests};

/// Runs `probe` on each online CPU, and returns the results by CPU number.
pub(super) fn on_each_cpu<T: Send + 'static>(probe: fn() -> T) -> Vec<(usize, Option<T>)> {
    let online = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index());
    online.map(|cpu| (cpu, on_cpu(cpu, probe))).collect()
}

/// Clears blocks by `method` in threads that are preempted and moved meanwhile. An error names the first word that is not
/// zero.
fn clear_while_migrating(method: ClearMethod) -> Result<(), String> {
    const ORDER: u8 = 4;
    const ROUNDS: usize = 24;
    let bytes = (order_pages(ORDER) * PAGE_SIZE) as usize;
    let cpus: Vec<usize> = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index()).collect();
    let (failure, is_over) = (Arc::new(Once::new()), Arc::new(AtomicBool::new(false)));
    let cleared = Arc::new(AtomicUsize::new(0));
    let start = |_| {
        let (failure, cleared) = (failure.clone(), cleared.clone());
        sched::spawn("test/clear", move || {
            let Some(block) = pages::alloc(ORDER) else {
                failure.call_once(|| format!("no block of order {ORDER}"));
                return;
            };
            for _ in 0..ROUNDS {
                // SAFETY: this thread owns the block (invariant 12), which consists of whole pages. Callers pass only
                // available methods.
                let dirty = unsafe {
                    zero::poison_frames(block, order_pages(ORDER));
                    clear::clear(method, mem_map::virt(block), bytes);
                    let words = core::slice::from_raw_parts(
                        mem_map::virt(block).cast::<u64>(),
                        bytes / size_of::<u64>(),
                    );
                    words.iter().position(|word| *word != 0).map(|at| (at, words[at]))
                };
                cleared.fetch_add(1, SeqCst);
                if let Some((at, word)) = dirty {
                    failure.call_once(|| format!("{}: word {at} is {word:#x}", method.name()));
                }
            }
            pages::free(block, ORDER);
        })
    };
    let started: Vec<_> = (0..2 * cpus.len() + 1).map(start).collect();
    let targets: Vec<_> = started.iter().flatten().map(|handle| handle.thread().clone()).collect();
    let mover = {
        let is_over = is_over.clone();
        sched::spawn("test/mover", move || {
            for turn in 0.. {
                for (number, thread) in targets.iter().enumerate() {
                    // Fails if the CPU has gone offline; the thread then keeps its mask.
                    let _ = sched::set_affinity(thread, &CpuMask::single(cpus[(turn + number) % cpus.len()]));
                }
                // The threads move when one of them has cleared its block, and the others are in the middle of theirs. Without
                // a pause, the other CPU may do nothing but move them.
                let before = cleared.load(SeqCst);
                while cleared.load(SeqCst) == before {
                    if is_over.load(SeqCst) {
                        return;
                    }
                    sched::yield_now();
                }
            }
        })
    };
    let mut result = Ok(());
    for handle in started {
        match handle {
            Ok(handle) => handle.join(),
            Err(error) => result = Err(format!("{error}")),
        }
    }
    is_over.store(true, SeqCst);
    match mover {
        Ok(mover) => mover.join(),
        Err(error) => result = Err(format!("{error}")),
    }
    failure.get().map_or(result, |failure| Err(failure.clone()))
}

kernel_tests! { "arch":
    fn vector_registers_hold_zeros_on_every_cpu() {
        for (cpu, are_clear) in on_each_cpu(simd::are_clear) {
            check!(are_clear == Some(true), "cpu {cpu}: {are_clear:?}");
        }
    }

    fn clearing_by_vector_registers_survives_preemption_and_migration() needs(MemoryMib(16)) {
        let by_vectors = [ClearMethod::Sse2NonTemporal, ClearMethod::AvxNonTemporal];
        crate::skip_if!(!by_vectors.iter().any(|method| method.is_available()), "vector registers are not used here");
        for method in by_vectors.into_iter().filter(|method| method.is_available()) {
            let result = clear_while_migrating(method);
            check!(result.is_ok(), "{result:?}");
        }
    }

    fn machine_checks_are_on_on_every_cpu() {
        crate::skip_if!(!cpu::features().machine_check, "this cpu has no machine checks, or cpu.disable rules them out");
        for (cpu, is_on) in on_each_cpu(machine_check::is_on) {
            check!(is_on == Some(true), "cpu {cpu}: {is_on:?}");
        }
    }

    fn apic_errors_are_reported_on_every_cpu() {
        for (cpu, reports) in on_each_cpu(|| apic::local().reports_errors()) {
            check!(reports == Some(true), "cpu {cpu}: {reports:?}");
        }
    }

    fn control_registers_are_the_same_on_every_cpu() {
        let boot_cpu = cpu_registers::read();
        for (cpu, found) in on_each_cpu(cpu_registers::read) {
            check!(found == Some(boot_cpu), "cpu {cpu}: {found:x?}, not {boot_cpu:x?}");
        }
    }
}
