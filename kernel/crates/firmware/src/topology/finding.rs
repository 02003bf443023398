//! Oddities of a machine's tables, and their severity.

use core::fmt;

use crate::cpus::CpuReport;
use crate::fadt::Refused;
use crate::hpet::Misplaced;
use crate::isa_irq::RouteError;
use crate::mp::MpError;
use crate::nodes::NodesReport;
use crate::root::Problem;

/// Severity of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something is wrong or lost.
    Warning,
    /// Nothing is wrong; worth a line.
    Info,
    /// For debugging.
    Debug,
}

/// The tables that name CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuSource {
    /// The MADT.
    Madt,
    /// The MP tables.
    MpTables,
}

/// An oddity of the tables. `Display` is a line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The loader's root pointer is not used.
    RootPointer(Problem),
    /// The RSDT is used although there is an XSDT.
    Xsdt(Problem),
    /// Entries of the root table lead to where tables cannot be.
    Unreachable(Problem),
    /// A table cannot be used.
    Unusable {
        /// Problem of the table.
        problem: Problem,
        /// Consequence, for the message.
        instead: &'static str,
    },
    /// The MP tables are used.
    MpTables {
        /// Why the MADT is not used.
        problem: Problem,
        /// CPUs that the MP tables name.
        cpus: usize,
    },
    /// No table names CPUs.
    OneCpu {
        /// Why the MADT is not used.
        problem: Problem,
        /// Why the MP tables are not used.
        error: MpError,
    },
    /// The list of CPUs is odd.
    OddCpus {
        /// The tables with the list.
        source: CpuSource,
        /// The oddities.
        report: CpuReport,
    },
    /// There are more CPUs than a [`CpuList`](crate::cpus::CpuList) holds.
    TooManyCpus {
        /// CPUs that are used.
        used: usize,
        /// CPUs that could be used.
        found: usize,
    },
    /// The list of CPUs.
    Cpus(CpuReport),
    /// I/O APICs whose registers cannot be where the tables say.
    MisplacedIoApics {
        /// Their number.
        count: usize,
        /// Address of the first.
        first: u32,
    },
    /// This many I/O APICs and overrides did not fit.
    TooManyInterrupts(usize),
    /// Fields of the FADT make no sense.
    RefusedFields(Refused),
    /// Neither DSDT nor SSDTs have a `\_S5` package.
    NoSleepTypes,
    /// The system control interrupt has no route.
    NoSciRoute {
        /// Its number in the FADT.
        irq: u16,
        /// Why not.
        error: RouteError,
    },
    /// The PM timer's register, at this address, is not an I/O port.
    PmTimerIsNoPort(u64),
    /// The HPET's registers cannot be at the address in its table.
    Hpet(Misplaced),
    /// The SRAT is odd.
    OddNodes(NodesReport),
    /// The first serial port's interrupt has no route.
    NoSerialRoute(RouteError),
}

impl Finding {
    /// Returns the severity.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            // A machine without ACPI or without a MADT is in order.
            Self::MpTables { problem: Problem::NoRootPointer | Problem::Missing(_), .. } => Severity::Info,
            // Only a reader of the port needs its interrupt, and warns. The others are optional.
            Self::Cpus(_)
            | Self::NoSleepTypes
            | Self::NoSciRoute { .. }
            | Self::PmTimerIsNoPort(_)
            | Self::NoSerialRoute(_) => Severity::Debug,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootPointer(problem) => {
                write!(f, "acpi: {problem}; using a root pointer that was searched for")
            }
            Self::Xsdt(problem) => write!(f, "acpi: {problem}; using the RSDT"),
            Self::Unreachable(problem) => write!(f, "acpi: {problem}"),
            Self::Unusable { problem, instead } => write!(f, "acpi: {problem}; {instead}"),
            Self::MpTables { problem, cpus } => {
                write!(f, "acpi: {problem}; using the mp tables, which name {cpus} cpu(s)")?;
                // The reason why fewer CPUs than plugged in may be listed.
                if *cpus == 1 && self.severity() == Severity::Info {
                    write!(f, "; such tables may name only the first of a package")?;
                }
                Ok(())
            }
            Self::OneCpu { problem, error } => {
                write!(f, "acpi: {problem}; mp tables: {error}; going on with one CPU")
            }
            Self::OddCpus { source, report } => {
                let whose = match source {
                    CpuSource::Madt => "MADT's",
                    CpuSource::MpTables => "mp tables'",
                };
                write!(f, "acpi: the {whose} list of cpus is odd: {report}")
            }
            Self::TooManyCpus { used, found } => {
                write!(f, "{used} of {found} cpus used: this kernel has room for no more")
            }
            Self::Cpus(report) => write!(f, "{report}"),
            Self::MisplacedIoApics { count, first } => write!(
                f,
                "the registers of {count} i/o apics cannot be where the firmware says, {first:#x} the first; not used"
            ),
            Self::TooManyInterrupts(count) => {
                write!(f, "{count} i/o apics and overrides are too many and not used")
            }
            Self::RefusedFields(refused) => {
                write!(f, "acpi: fields of the FADT make no sense and are not used: {refused}")
            }
            Self::NoSleepTypes => {
                write!(f, "acpi: neither DSDT nor SSDTs tell how the machine is powered off")
            }
            Self::NoSciRoute { irq, error } => write!(f, "acpi: interrupt {irq} (sci): {error}"),
            Self::PmTimerIsNoPort(address) => {
                write!(f, "acpi: the PM timer at {address:#x} is no I/O port's; it is not used")
            }
            Self::Hpet(Misplaced { space, address }) => write!(
                f,
                "acpi: the hpet's registers cannot be at {address:#x} of address space {space}; it is not used"
            ),
            Self::OddNodes(report) => write!(f, "acpi: the SRAT is odd: {report}"),
            Self::NoSerialRoute(error) => write!(f, "interrupt of com1: {error}"),
        }
    }
}
