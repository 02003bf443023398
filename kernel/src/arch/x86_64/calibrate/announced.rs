//! Rates that CPUID and hypervisors announce.

use core::arch::x86_64::__cpuid_count;
use core::cell::UnsafeCell;

use timebase::announced::{self, CrystalLeaf, KVM_CLOCK_BYTES};
use timebase::source::Known;
use timebase::source::Source::{Cpuid15, Hypervisor, KvmClock};
use x86_64::registers::model_specific::Msr;

use super::super::cpu::{self, Leaf};
use super::super::paging::PageTables;

/// First leaves of hypervisors. KVM uses the second place while it emulates Hyper-V at the first.
const HYPERVISOR_LEAVES: [u32; 2] = [0x4000_0000, 0x4000_0100];

/// Rates that CPUID and the hypervisor announce.
#[derive(Debug, Default)]
pub struct Announced {
    /// The TSC's rates.
    pub tsc: Known,
    /// The rate of the local APIC's timer.
    pub apic_timer_hz: Option<u64>,
}

/// Reads the rates that CPUID and the hypervisor announce.
pub fn announced() -> Announced {
    let basic = cpu::cpuid(1, 0);
    let leaf = cpu::cpuid(0x15, 0);
    let crystal = CrystalLeaf { denominator: leaf.a, numerator: leaf.b, crystal_hz: leaf.c };
    let known_hz = if cpu_is_intel() { announced::known_crystal_hz(basic.a) } else { None };
    let rates = hypervisor_rates();
    let tsc = Known {
        announced: [
            crystal.tsc_hz(known_hz).map(|hz| (Cpuid15, hz)),
            announced::hz_of_khz(rates.a).map(|hz| (Hypervisor, hz)),
            kvm_clock_hz().map(|hz| (KvmClock, hz)),
        ],
        measured: None,
        base_hz: announced::base_hz(cpu::cpuid(0x16, 0).a),
    };
    Announced { tsc, apic_timer_hz: crystal.crystal_hz(known_hz).or(announced::hz_of_khz(rates.b)) }
}

fn cpu_is_intel() -> bool {
    let vendor = cpu::cpuid(0, 0);
    [vendor.b, vendor.d, vendor.c].map(u32::to_le_bytes) == [*b"Genu", *b"ineI", *b"ntel"]
}

/// Returns the signature of the hypervisor whose leaves begin at `base`, and its leaf `offset`; zeros if there is none.
fn hypervisor_leaf(base: u32, offset: u32) -> ([u8; 12], Leaf) {
    // Leaf 1, ecx. A CPU without a hypervisor may return another leaf for these numbers.
    const HAS_HYPERVISOR: u32 = 1 << 31;
    let none = ([0; 12], Leaf::default());
    if cpu::cpuid(1, 0).c & HAS_HYPERVISOR == 0 {
        return none;
    }
    let first = __cpuid_count(base, 0);
    let mut signature = [0; 12];
    for (bytes, word) in signature.chunks_exact_mut(4).zip([first.ebx, first.ecx, first.edx]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    // Old versions of KVM return 0 for their highest leaf, and mean `base + 1`.
    if !(base..base + 0x100).contains(&first.eax.max(base + 1)) || base + offset > first.eax.max(base + 1) {
        return none;
    }
    let leaf = __cpuid_count(base + offset, 0);
    (signature, Leaf { a: leaf.eax, b: leaf.ebx, c: leaf.ecx, d: leaf.edx })
}

/// Returns rates in kHz: the TSC's in eax, the local APIC timer's in ebx. VMware introduced this leaf, and others adopted it.
/// Hyper-V, and hypervisors that emulate it, use the leaf for something else.
fn hypervisor_rates() -> Leaf {
    const RATES: u32 = 0x10;
    match hypervisor_leaf(HYPERVISOR_LEAVES[0], RATES) {
        (signature, _) if signature == *b"Microsoft Hv" => Leaf::default(),
        (_, rates) => rates,
    }
}

/// Returns the MSR that takes the address of a vCPU's time structure, if KVM is there and has one.
fn kvm_clock_msr() -> Option<u32> {
    const OLD_CLOCK: u32 = 1 << 0;
    const CLOCK: u32 = 1 << 3;
    const MSR_OLD_SYSTEM_TIME: u32 = 0x12;
    const MSR_SYSTEM_TIME: u32 = 0x4b56_4d01;
    let leaves = HYPERVISOR_LEAVES.map(|base| hypervisor_leaf(base, 1));
    let (_, kvm) = leaves.into_iter().find(|(signature, _)| signature == b"KVMKVMKVM\0\0\0")?;
    let features = kvm.a;
    match (features & CLOCK != 0, features & OLD_CLOCK != 0) {
        (true, _) => Some(MSR_SYSTEM_TIME),
        (false, true) => Some(MSR_OLD_SYSTEM_TIME),
        (false, false) => None,
    }
}

/// The time structure, which the hypervisor writes. Aligned so that it lies within one page.
#[repr(C, align(64))]
struct SharedBytes(UnsafeCell<[u8; KVM_CLOCK_BYTES]>);

// SAFETY: only `kvm_clock_hz` uses the only instance, on the boot CPU while it is alone (invariant 17).
unsafe impl Sync for SharedBytes {}

/// Returns the TSC's rate from KVM's clock. Disables the clock again.
fn kvm_clock_hz() -> Option<u64> {
    const ENABLE: u64 = 1;
    const MOST_READS: usize = 1000;
    static SHARED: SharedBytes = SharedBytes(UnsafeCell::new([0; KVM_CLOCK_BYTES]));
    let physical = PageTables::active().translate(SHARED.0.get() as u64)?;
    let mut msr = Msr::new(kvm_clock_msr()?);
    // SAFETY: KVM announced the MSR. The host writes only the structure at that address, which is static.
    unsafe { msr.write(physical | ENABLE) };
    let read = || {
        // SAFETY: the bytes are static and mapped. Volatile, because the host may write them at any time. Read twice: the
        // versions before and after agree if the host did not write meanwhile.
        let [before, bytes, after] = core::array::from_fn(|_| unsafe { SHARED.0.get().read_volatile() });
        if before[..4] == after[..4] { announced::kvm_clock_hz(&bytes) } else { None }
    };
    let hz = (0..MOST_READS).find_map(|_| read());
    // SAFETY: as above. From here on the host no longer writes the structure.
    unsafe { msr.write(0) };
    hz
}
