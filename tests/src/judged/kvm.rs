//! The processor's x2APIC and deadline timer, on hosts whose KVM can run the kernel.
//!
//! On some hosts, KVM interprets kernel code, and only some instructions. With the features that such a KVM lacks switched off,
//! a few tests run there, slowly. On a real KVM they are quick.

use super::scenario::{cpus, ensure, ensure_all_pass};
use crate::lab::Lab;
use crate::shape::{SMP2, Shape};
use ktask_boot::qemu::Accel;
use libtest_mimic::{Completion, Failed, Trial};

/// The host's processor without features that an interpreting KVM lacks or does not let QEMU set.
const MODEL: &str = "host,-arch-capabilities,-clzero";

/// Features that the kernel must not use there.
const DISABLED: &str = "cpu.disable=avx,sse-stores,clzero";

/// Tests of few instructions: an interpreter is a thousand times slower.
const TESTS: &str = "run=test:arch::time_goes,arch::apic_errors,sched::threads_run,sched::affinity_is";

const SHAPE: Shape =
    Shape { name: "kvm", memory_mib: 256, cpu_model: Some(MODEL), accel: Accel::Kvm, ..SMP2 };

/// Returns the trials, which are ignored without KVM.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let lab = lab.clone();
    vec![Trial::ignorable_test("kvm::arch::x2apic_and_deadline_timer_work", move || judge(&lab))]
}

fn judge(lab: &Lab) -> Result<Completion, Failed> {
    if let Err(why) = lab.kvm_runs(MODEL) {
        return Ok(Completion::ignored_with(why));
    }
    let evidence = lab.boot(&SHAPE, &format!("{TESTS} {DISABLED}"))?;
    if let Some(error) = evidence.run.messages.lines().find(|line| line.contains("KVM internal error")) {
        return Ok(Completion::ignored_with(format!("this KVM cannot run the kernel: {error}")));
    }
    ensure_all_pass(&evidence, 3)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (2, 2), format_args!("found and online are {counts:?}, not (2, 2)"))?;
    for field in [r#""apic":"x2apic""#, r#""timer":"tsc-deadline""#] {
        let is_reported = evidence
            .run
            .record_lines
            .iter()
            .any(|line| line.contains(r#""record":"boot""#) && line.contains(field));
        ensure(&evidence, is_reported, format_args!("the boot record lacks {field}"))?;
    }
    Ok(Completion::Completed)
}
