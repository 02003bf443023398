//! The processor's own interrupt controller, x2APIC and deadline timer, where KVM can run the kernel at all.
//!
//! Some hosts let KVM only interpret kernel code, and not all of it: with the features that such a KVM does not know
//! switched off, few tests run there, slowly. Where KVM is real they take no time.

use super::scenario::{cpus, ensure, ensure_all_pass};
use crate::lab::Lab;
use crate::shape::{SMP2, Shape};
use ktask_boot::qemu::Accel;
use libtest_mimic::{Completion, Failed, Trial};

/// The processor without what an interpreting KVM cannot do, or does not let QEMU set.
const MODEL: &str = "host,-arch-capabilities,-clzero";

/// The features that the kernel is not to use there.
const DISABLED: &str = "cpu.disable=avx,sse-stores,clzero";

/// What takes few instructions: an interpreter makes a thousand times less of them.
const TESTS: &str = "run=test:arch::time_goes,arch::apic_errors,sched::threads_run,sched::affinity_is";

const SHAPE: Shape =
    Shape { name: "kvm", memory_mib: 256, cpu_model: Some(MODEL), accel: Accel::Kvm, ..SMP2 };

/// The trials: ignored where there is no KVM.
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
        let is_told = evidence
            .run
            .record_lines
            .iter()
            .any(|line| line.contains(r#""record":"boot""#) && line.contains(field));
        ensure(&evidence, is_told, format_args!("the boot record does not hold {field}"))?;
    }
    Ok(Completion::Completed)
}
