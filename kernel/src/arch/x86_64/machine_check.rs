//! Machine checks: errors that the hardware detects in itself.
//!
//! Without CR4.MCE a machine check shuts the processor down, and disabled banks report nothing. So every CPU enables all
//! of its banks, clears the errors in them, and then enables the exception. The Intel manual has the same initialisation
//! (volume 3, 17.8). A machine check ends the kernel with a report of the banks.

use core::fmt::{self, Write as _};

use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::Msr;

use super::cpu::{self, cpuid};

const MSR_CAPABILITIES: u32 = 0x179;
const MSR_STATUS: u32 = 0x17a;
const MSR_CONTROL: u32 = 0x17b;
/// First MSR of bank 0. Each bank has four MSRs: control, status, address, miscellaneous.
const MSR_BANK_CONTROL: u32 = 0x400;
const MSRS_PER_BANK: u32 = 4;
/// Most banks that have their MSRs there.
const MOST_BANKS: u32 = 32;

/// Bits of [`MSR_CAPABILITIES`].
const BANK_COUNT_MASK: u64 = 0xff;
const HAS_CONTROL: u64 = 1 << 8;

/// Bits of a bank's status.
const VALID: u64 = 1 << 63;
const UNCORRECTED: u64 = 1 << 61;
const HAS_MISCELLANEOUS: u64 = 1 << 59;
const HAS_ADDRESS: u64 = 1 << 58;

/// The banks of one CPU.
#[derive(Clone, Copy)]
struct Banks {
    count: u32,
}

impl Banks {
    /// Returns the running CPU's banks: none if machine checks are not in use.
    fn of_this_cpu() -> Self {
        let count = match cpu::features().machine_check {
            true => (read(MSR_CAPABILITIES) & BANK_COUNT_MASK) as u32,
            false => 0,
        };
        // MSRs from 0x480 on have other purposes. Further banks have other addresses, or none.
        Self { count: count.min(MOST_BANKS) }
    }

    /// Iterates over the banks that hold an error: number, status, address, miscellaneous.
    fn errors(self) -> impl Iterator<Item = (u32, u64, Option<u64>, Option<u64>)> {
        (0..self.count).filter_map(|bank| {
            let base = MSR_BANK_CONTROL + bank * MSRS_PER_BANK;
            let status = read(base + 1);
            let read_if = |flag, register| (status & flag != 0).then(|| read(base + register));
            (status & VALID != 0)
                .then(|| (bank, status, read_if(HAS_ADDRESS, 2), read_if(HAS_MISCELLANEOUS, 3)))
        })
    }
}

/// Reads a machine check MSR. The callers have checked that the CPU has it.
fn read(msr: u32) -> u64 {
    // SAFETY:
    // 1. CPUID has the machine check architecture. The MSR is global, or belongs to a bank below the count in the
    //    capabilities.
    // 2. An address or miscellaneous register is read only if the status says that it is valid.
    unsafe { Msr::new(msr).read() }
}

fn write(msr: u32, value: u64) {
    // SAFETY: as for `read`. Control registers take all ones, status registers take zeros.
    unsafe { Msr::new(msr).write(value) }
}

/// Enables machine checks on this CPU. Errors from before the kernel are reported once, and cleared.
pub fn init() {
    if !cpu::features().machine_check {
        return;
    }
    let banks = Banks::of_this_cpu();
    let mut old_errors = 0;
    for (bank, status, ..) in banks.errors() {
        old_errors += 1;
        log::warn!("machine check bank {bank} held an error from before the kernel, status {status:#018x}");
    }
    if old_errors > 0 {
        crate::console::records::warning(format_args!(
            "machine check: {old_errors} banks of a cpu held an error from before the kernel"
        ));
    }
    if read(MSR_CAPABILITIES) & HAS_CONTROL != 0 {
        write(MSR_CONTROL, u64::MAX);
    }
    for bank in first_writable_bank()..banks.count {
        write(MSR_BANK_CONTROL + bank * MSRS_PER_BANK, u64::MAX);
    }
    for bank in 0..banks.count {
        write(MSR_BANK_CONTROL + bank * MSRS_PER_BANK + 1, 0);
    }
    write(MSR_STATUS, 0);
    // SAFETY: the handler of vector 18 and its stack are in place, or the exception ends in the report of a double
    // fault. Without the bit, a machine check would end the machine without a report.
    unsafe { Cr4::update(|flags| flags.insert(Cr4Flags::MACHINE_CHECK_EXCEPTION)) };
}

/// Returns the first bank whose control register the kernel may write. On family 6 before model 0x1a, that of bank 0
/// belongs to the firmware.
fn first_writable_bank() -> u32 {
    let signature = cpuid(1, 0).a;
    let (family, model) = (signature >> 8 & 0xf, signature >> 4 & 0xf | signature >> 12 & 0xf0);
    let is_intel = cpuid(0, 0).b == u32::from_le_bytes(*b"Genu");
    u32::from(is_intel && family == 6 && model < 0x1a)
}

/// Displays the errors in the running CPU's banks, as one line.
pub struct Report;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("machine check")?;
        let mut separator = ':';
        for (bank, status, address, miscellaneous) in Banks::of_this_cpu().errors() {
            f.write_char(separator)?;
            let kind = if status & UNCORRECTED != 0 { "uncorrected" } else { "corrected" };
            write!(f, " bank {bank} {kind}, status {status:#018x}")?;
            if let Some(address) = address {
                write!(f, ", address {address:#x}")?;
            }
            if let Some(miscellaneous) = miscellaneous {
                write!(f, ", miscellaneous {miscellaneous:#x}")?;
            }
            separator = ';';
        }
        if separator == ':' { f.write_str(", no bank of this cpu says why") } else { Ok(()) }
    }
}

/// Whether the running CPU has machine checks enabled, with banks that report. The control register of a bank that is not
/// implemented reads as zero.
pub fn is_on() -> bool {
    let reports = |bank| read(MSR_BANK_CONTROL + bank * MSRS_PER_BANK) != 0;
    let mut banks = first_writable_bank()..Banks::of_this_cpu().count;
    Cr4::read().contains(Cr4Flags::MACHINE_CHECK_EXCEPTION) && (banks.is_empty() || banks.any(reports))
}
