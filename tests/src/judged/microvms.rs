//! Cloud Hypervisor and Firecracker, by the stand-in firmware: their memory map, tables, timers and ways to power off.

use super::firmware::{NEVER_USED, ensure_memory, ensure_shut_down};
use super::scenario::{cpus, ensure, warnings};
use crate::lab::{Evidence, Lab};
use crate::shape::{SMP2, Shape};
use crate::standin::{Handover, MEMORY_MIB, microvms};
use ktask_boot::qemu::Shutdown;
use libtest_mimic::{Completion, Failed, Trial};

/// No PIT and no HPET. The device powers the machine off if bit 2 is written without bits 0 and 1. Cloud Hypervisor's wants
/// 0x34, and both ignore the other value that the kernel writes, 0x80.
const CLOUD_HYPERVISOR: Shape = Shape {
    memory_mib: MEMORY_MIB,
    exit_device: false,
    extra: &["-machine", "pit=off,hpet=off", "-device", "pvpanic,ioport=0x700"],
    ..SMP2
};

const FIRECRACKER: Shape =
    Shape { memory_mib: MEMORY_MIB, exit_device: false, extra: &["-machine", "hpet=off"], ..SMP2 };

/// Returns the trials. Cloud Hypervisor's needs a newer QEMU: older ones have neither x2APIC nor such a device.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let (newer, any) = (lab.with_x2apic(), lab.clone());
    vec![
        Trial::ignorable_test("microvm::cloud_hypervisor::is_powered_off_by_its_sleep_register", move || {
            match &newer {
                Ok(lab) => cloud_hypervisor(lab).map(|()| Completion::Completed),
                Err(reason) => Ok(Completion::ignored_with(reason)),
            }
        }),
        Trial::test("microvm::firecracker::is_reset_by_the_keyboard_controller", move || firecracker(&any)),
    ]
}

fn cloud_hypervisor(lab: &Lab) -> Result<(), Failed> {
    let handover = microvms::cloud_hypervisor();
    let evidence = lab.boot_handover(&CLOUD_HYPERVISOR, &handover)?;
    ensure_shut_down(&evidence, Shutdown::PowerOff)?;
    ensure_all_used(&evidence, &handover)?;
    ensure_fields(&evidence, &[r#""apic":"x2apic""#, r#""clock":"pm-timer""#])
}

fn firecracker(lab: &Lab) -> Result<(), Failed> {
    let handover = microvms::firecracker();
    let evidence = lab.boot_handover(&FIRECRACKER, &handover)?;
    ensure_shut_down(&evidence, Shutdown::Reset)?;
    ensure_all_used(&evidence, &handover)?;
    ensure_fields(&evidence, &[r#""clock":"pit""#])?;
    let resets = evidence.run.log.iter().filter(|line| line.contains("resetting by"));
    let resets: Vec<_> = resets.collect();
    let is_by_keyboard = matches!(resets[..], [line] if line.contains("the keyboard controller"));
    ensure(&evidence, is_by_keyboard, format_args!("not reset by the keyboard controller alone: {resets:?}"))
}

/// Fails unless all CPUs and all memory are used, without a warning.
fn ensure_all_used(evidence: &Evidence, handover: &Handover) -> Result<(), Failed> {
    let counts = cpus(evidence)?;
    ensure(evidence, counts == (2, 2), format_args!("found and online are {counts:?}, not (2, 2)"))?;
    ensure_memory(evidence, handover.usable_bytes(), NEVER_USED)?;
    let reported = warnings(evidence);
    ensure(evidence, reported.is_empty(), format_args!("warnings: {reported:?}"))
}

/// Fails unless the boot record has all `fields`.
fn ensure_fields(evidence: &Evidence, fields: &[&str]) -> Result<(), Failed> {
    let boot = evidence.run.record_lines.iter().find(|line| line.contains(r#""record":"boot""#));
    let boot = boot.map(String::as_str).unwrap_or_default();
    let missing = fields.iter().find(|field| !boot.contains(**field));
    ensure(evidence, missing.is_none(), format_args!("the boot record lacks {missing:?}: {boot}"))
}
