//! Tests of the machine layer: page rights, time, per-CPU data.

use protocol::record::Entry;

use crate::arch::paging::{self, PageTables, Rights};
use crate::arch::{boot_stack, cpu, handover, image, percpu, tsc};
use crate::platform::io_apics;
use crate::{check, kernel_tests, skip_if};

kernel_tests! { "arch":
    fn image_is_never_writable_and_executable() {
        let tables = PageTables::active();
        for (part, rights) in image::parts() {
            for page in part.step_by(4096).filter(|page| *page != boot_stack::guard()) {
                let found = tables.rights_of(page);
                let expected = (rights == Rights::Data, rights == Rights::Code || !cpu::features().nx);
                check!(found == Some(expected), "{page:#x}: (writable, executable) {found:?}, not {expected:?}");
            }
        }
    }

    fn physical_map_is_not_executable_and_protects_constants() {
        let tables = PageTables::active();
        for (part, rights) in image::parts() {
            for page in part.step_by(4096) {
                let address = image::physical_of(page);
                let found = tables.rights_of(paging::phys_to_virt(address));
                let expected = (rights == Rights::Data, !cpu::features().nx);
                // An image in the loader's own memory, which the map does not call usable, has no alias.
                let is_right = found.map_or(handover::get().entry == Entry::Uefi, |found| found == expected);
                check!(is_right, "{address:#x}: (writable, executable) {found:?}, not {expected:?}");
            }
        }
    }

    fn guard_pages_are_not_mapped() {
        let tables = PageTables::active();
        check!(tables.translate(boot_stack::guard()).is_none(), "the boot stack has no guard");
        let bottom = crate::sched::current().stack_bottom();
        check!(tables.translate(bottom).is_some(), "the lowest page of this stack is not mapped");
        check!(tables.translate(bottom - 4096).is_none(), "there is a page below this stack");
        check!(tables.translate(0).is_none(), "page 0 is mapped");
    }

    fn no_interrupt_line_is_unmasked_without_a_driver() {
        let (pins, stray) = io_apics::check();
        skip_if!(pins == 0, "the firmware names no i/o apic");
        check!(stray.is_none(), "global interrupt {stray:?} is unmasked");
    }

    fn time_goes_forward_and_sleep_never_ends_early() {
        let mut last = tsc::now_ns();
        for _ in 0..10_000 {
            let now = tsc::now_ns();
            check!(now >= last, "time went from {last} back to {now}");
            last = now;
        }
        for ns in [50_000, 3_000_000, 20_000_000] {
            let sleep = || {
                let start = tsc::now_ns();
                crate::sched::sleep_ns(ns);
                tsc::now_ns() - start
            };
            let times = [sleep(), sleep(), sleep()];
            check!(times.iter().all(|took| *took >= ns), "slept {times:?} ns instead of {ns}");
            // A host may stop the machine for any time, but not in each of three attempts. Two seconds are a hang.
            check!(times.iter().any(|took| *took < ns + 2_000_000_000), "slept {times:?} ns instead of {ns}");
        }
    }

    fn time_goes_forward_from_cpu_to_cpu() {
        let mut last = tsc::now_ns();
        let cpus = || percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index());
        for cpu in cpus().chain(cpus()) {
            let Some(there) = super::sched::on_cpu(cpu, tsc::now_ns) else {
                check!(false, "no thread could be started on cpu {cpu}");
                continue;
            };
            let here = tsc::now_ns();
            check!((last..=here).contains(&there), "cpu {cpu} says {there}, between {last} and {here}");
            last = here;
        }
    }

    fn every_cpu_has_its_own_data() {
        for cpu in percpu::all().filter(|cpu| cpu.is_online()) {
            let apic_id = super::sched::on_cpu(cpu.id().index(), || (percpu::this_cpu().id(), cpu::apic_id()));
            let Some((id, apic_id)) = apic_id else {
                check!(false, "no thread could be started on cpu {}", cpu.id());
                continue;
            };
            check!(id == cpu.id(), "cpu {} says it is {id}", cpu.id());
            check!(apic_id == cpu.apic_id(), "cpu {id} has apic id {apic_id}, not {}", cpu.apic_id());
        }
    }
}
