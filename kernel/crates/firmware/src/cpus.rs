//! CPUs to start, and their indices.
//!
//! The MADT lists CPUs, but not reliably. Firmware lists a CPU as both local APIC and local x2APIC, and leaves slots for CPUs
//! that are not plugged in. It names ids that the interrupt controller cannot address, and need not list the boot CPU first.

use core::fmt;

/// Most CPUs in a [`CpuList`].
pub const MAX_CPUS: usize = 512;

/// APIC id that addresses all CPUs in xAPIC mode.
const XAPIC_BROADCAST: u32 = 0xff;
/// APIC id that addresses all CPUs in x2APIC mode.
const X2APIC_BROADCAST: u32 = 0xffff_ffff;

/// Mode of the local APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicMode {
    /// By a register page; ids have 8 bits.
    XApic,
    /// By model-specific registers; ids have 32 bits.
    X2Apic,
}

impl ApicMode {
    /// Returns the highest id of a single CPU.
    #[must_use]
    pub const fn highest_id(self) -> u32 {
        match self {
            Self::XApic => XAPIC_BROADCAST - 1,
            Self::X2Apic => X2APIC_BROADCAST - 1,
        }
    }
}

/// A CPU: a MADT entry of type 0 (local APIC) or 9 (local x2APIC), or a processor entry of the MP tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadtCpu {
    /// The local APIC's id.
    pub apic_id: u32,
    /// Flags bit 0: the CPU can be used.
    pub enabled: bool,
    /// Flags bit 1: the CPU may be enabled later.
    pub online_capable: bool,
    /// Whether the entry is of type 9.
    pub x2apic: bool,
}

/// APIC ids of the CPUs to use. Index 0 is the boot CPU; the others follow in the table's order.
///
/// About 2 KiB: large for a stack.
#[derive(Clone)]
pub struct CpuList {
    apic_ids: [u32; MAX_CPUS],
    len: usize,
    found: usize,
}

/// What [`CpuList::collect`] left out, by reason.
///
/// `Display` gives one line for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuReport {
    /// Entries in the table.
    pub entries: usize,
    /// Usable CPUs: the boot CPU and each enabled one, once.
    pub found: usize,
    /// CPUs in the list.
    pub listed: usize,
    /// Entries for a CPU that is in the list already.
    pub duplicates: usize,
    /// Entries that are neither enabled nor online-capable.
    pub disabled: usize,
    /// Entries that may be enabled later: empty sockets.
    pub hot_pluggable: usize,
    /// Enabled entries whose APIC id is a broadcast address.
    pub broadcast_ids: usize,
    /// Enabled entries whose APIC id the interrupt controller cannot address.
    pub unaddressable: usize,
    /// CPUs over the caller's limit.
    pub not_wanted: usize,
    /// CPUs over [`MAX_CPUS`].
    pub over_limit: usize,
    /// Whether no enabled entry names the running CPU, so that the table is wrong.
    pub boot_cpu_missing: bool,
}

impl CpuReport {
    /// Returns whether the table is worth a warning. Disabled and hot-pluggable entries and limits are not.
    #[must_use]
    pub const fn is_suspicious(&self) -> bool {
        self.duplicates > 0 || self.broadcast_ids > 0 || self.unaddressable > 0 || self.boot_cpu_missing
    }
}

impl fmt::Display for CpuReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpus: {} to use of {} listed by firmware", self.listed, self.entries)?;
        let left_out = [
            (self.duplicates, "listed twice"),
            (self.disabled, "disabled"),
            (self.hot_pluggable, "hot-pluggable"),
            (self.broadcast_ids, "with a broadcast id"),
            (self.unaddressable, "with an id that the interrupt controller cannot address"),
            (self.not_wanted, "not wanted"),
            (self.over_limit, "over the limit"),
        ];
        for (count, what) in left_out {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.boot_cpu_missing {
            write!(f, ", the boot cpu not among them")?;
        }
        Ok(())
    }
}

impl CpuList {
    /// Makes the list from the table's `entries`.
    ///
    /// `bsp_apic_id` is the id that the running CPU's local APIC has, of which 8 bits count in [`ApicMode::XApic`]. That CPU is
    /// at index 0, even if the table does not list it. At most `wanted` CPUs are listed (clamped to 1..=[`MAX_CPUS`]);
    /// further ones are counted in [`found`](Self::found).
    pub fn collect(
        entries: impl IntoIterator<Item = MadtCpu>,
        bsp_apic_id: u32,
        mode: ApicMode,
        wanted: usize,
    ) -> (Self, CpuReport) {
        let bsp_apic_id = match mode {
            ApicMode::XApic => bsp_apic_id & 0xff,
            ApicMode::X2Apic => bsp_apic_id,
        };
        let mut list = Self { apic_ids: [0; MAX_CPUS], len: 1, found: 1 };
        list.apic_ids[0] = bsp_apic_id;
        let mut report = CpuReport { boot_cpu_missing: true, ..CpuReport::default() };
        for cpu in entries {
            report.entries += 1;
            // The id of a disabled entry has no meaning.
            if !cpu.enabled {
                if cpu.online_capable {
                    report.hot_pluggable += 1;
                } else {
                    report.disabled += 1;
                }
            } else if is_broadcast(cpu) {
                report.broadcast_ids += 1;
            } else if cpu.apic_id > mode.highest_id() {
                report.unaddressable += 1;
            } else if cpu.apic_id == bsp_apic_id && report.boot_cpu_missing {
                report.boot_cpu_missing = false;
            } else if list.index_of(cpu.apic_id).is_some() {
                report.duplicates += 1;
            } else if list.len == MAX_CPUS {
                report.over_limit += 1;
            } else {
                list.apic_ids[list.len] = cpu.apic_id;
                list.len += 1;
            }
        }
        list.found = list.len + report.over_limit;
        let wanted = wanted.clamp(1, MAX_CPUS);
        if list.len > wanted {
            // The caller's limit applies instead of the list's: a longer list would not be used either.
            report.not_wanted = list.found - wanted;
            report.over_limit = 0;
            list.len = wanted;
        }
        (report.found, report.listed) = (list.found, list.len);
        (list, report)
    }

    /// Returns the number of usable CPUs, with those over a limit, which are not in the list.
    #[must_use]
    pub const fn found(&self) -> usize {
        self.found
    }

    /// Returns the number of CPUs in the list, 1 or more.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the boot CPU is always there")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns the APIC ids by CPU index.
    #[must_use]
    pub fn apic_ids(&self) -> &[u32] {
        &self.apic_ids[..self.len]
    }

    /// Returns the APIC id of the CPU with index `cpu`.
    #[must_use]
    pub fn apic_id(&self, cpu: usize) -> Option<u32> {
        self.apic_ids().get(cpu).copied()
    }

    /// Returns the index of the CPU with this APIC id.
    #[must_use]
    pub fn index_of(&self, apic_id: u32) -> Option<usize> {
        self.apic_ids().iter().position(|&id| id == apic_id)
    }
}

/// Returns whether the entry's id addresses all CPUs instead of one. 0xff is an ordinary id in x2APIC entries.
fn is_broadcast(cpu: MadtCpu) -> bool {
    cpu.apic_id == X2APIC_BROADCAST || !cpu.x2apic && cpu.apic_id == XAPIC_BROADCAST
}
