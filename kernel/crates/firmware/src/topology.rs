//! The whole machine as its tables describe it.
//!
//! [`Topology::read`] reads all tables. A damaged table costs its content alone. Each oddity goes to the caller as a
//! [`Finding`], whose `Display` is a line for the log.

mod finding;

pub use finding::{CpuSource, Finding, Severity};

use crate::affinity::{Slit, Srat};
use crate::cpus::{ApicMode, CpuList, MadtCpu};
use crate::fixed_hardware::FixedHardware;
use crate::hpet;
use crate::isa_irq::{Interrupts, Route, Signal};
use crate::madt::Madt;
use crate::memmap::MemoryMap;
use crate::mp::MpTables;
use crate::nodes::Nodes;
use crate::reach::PhysicalMemory;
use crate::root::{Problem, TableName, Tables, read_table};

const MADT: [u8; 4] = *b"APIC";
const FADT: [u8; 4] = *b"FACP";
/// ISA interrupt of COM1.
const COM1_IRQ: u8 = 4;

const NOT_USED: &str = "it is not used";
const ONE_NODE: &str = "taking all memory for one node";
const EQUALLY_FAR: &str = "taking all nodes for equally far apart";

/// The machine, as the kernel uses it.
pub struct Topology {
    /// CPUs to use, the boot CPU first.
    pub cpus: CpuList,
    /// I/O APICs and interrupt source overrides.
    pub interrupts: Interrupts,
    /// Route of the first serial port's interrupt.
    pub serial: Option<Route>,
    /// Power-off, buttons and other events.
    pub fixed_hardware: Option<FixedHardware>,
    /// The ACPI PM timer: its port, and whether it counts 32 bits.
    pub pm_timer: Option<(u16, bool)>,
    /// Physical address of the HPET's registers.
    pub hpet: Option<u64>,
    /// Memory nodes.
    pub nodes: Nodes,
}

/// The running CPU, and limits of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootCpu {
    /// APIC id of the running CPU.
    pub apic_id: u32,
    /// Mode of the local APICs.
    pub mode: ApicMode,
    /// Most CPUs to use.
    pub max_cpus: usize,
}

impl Topology {
    /// Reads the tables that the loader's root pointer `rsdp`, or a search, leads to. Without usable tables the machine
    /// has one CPU, `boot_cpu`.
    pub fn read<'a>(
        memory: impl PhysicalMemory<'a>,
        rsdp: Option<u64>,
        map: &MemoryMap,
        boot_cpu: BootCpu,
        report: &mut dyn FnMut(Finding),
    ) -> Self {
        let mut reader = Reader { memory, map, boot_cpu, report };
        let tables = reader.find_tables(rsdp);
        let (cpus, interrupts) = reader.cpus_and_interrupts(tables);
        let mut topology = Self {
            cpus,
            interrupts,
            serial: None,
            fixed_hardware: None,
            pm_timer: None,
            hpet: None,
            nodes: Nodes::single(),
        };
        if let Ok(tables) = &tables {
            topology.fixed_hardware = reader.fixed_hardware(tables, &topology.interrupts);
            topology.pm_timer = reader.pm_timer(topology.fixed_hardware.as_ref());
            topology.hpet = reader.hpet(tables);
            if let Some(nodes) = reader.nodes(tables, &topology.cpus) {
                topology.nodes = nodes;
            }
        }
        topology.serial = reader.serial(&topology.interrupts);
        topology
    }
}

struct Reader<'r, M> {
    memory: M,
    map: &'r MemoryMap,
    boot_cpu: BootCpu,
    report: &'r mut dyn FnMut(Finding),
}

impl<'a, M: PhysicalMemory<'a>> Reader<'_, M> {
    fn report(&mut self, finding: Finding) {
        (self.report)(finding);
    }

    fn find_tables(&mut self, rsdp: Option<u64>) -> Result<Tables<'a, M>, Problem> {
        let (tables, found) = Tables::find(self.memory, rsdp)?;
        if let Some(problem) = found.named {
            self.report(Finding::RootPointer(problem));
        }
        if let Some(problem) = found.xsdt {
            self.report(Finding::Xsdt(problem));
        }
        if let Some(problem) = tables.unreachable() {
            self.report(Finding::Unreachable(problem));
        }
        Ok(tables)
    }

    /// Reads the MADT, else the MP tables.
    fn cpus_and_interrupts(&mut self, tables: Result<Tables<'a, M>, Problem>) -> (CpuList, Interrupts) {
        let madt = tables.and_then(|tables| {
            let table = TableName::Signature(MADT);
            Madt::parse(tables.find_table(MADT)?).map_err(|error| Problem::Damaged { table, error })
        });
        let (cpus, interrupts) = match madt {
            Ok(madt) => {
                let interrupts = Interrupts::collect(madt.io_apics(), madt.overrides(), self.map);
                (self.collect_cpus(madt.cpus(), CpuSource::Madt), interrupts)
            }
            Err(problem) => self.mp_tables(problem),
        };
        let misplaced = interrupts.misplaced().count();
        if let Some(first) = interrupts.misplaced().next() {
            self.report(Finding::MisplacedIoApics { count: misplaced, first: first.address });
        }
        if interrupts.left_out() > 0 {
            self.report(Finding::TooManyInterrupts(interrupts.left_out()));
        }
        (cpus, interrupts)
    }

    /// Reads the MP tables, as `problem` keeps the MADT from being used.
    fn mp_tables(&mut self, problem: Problem) -> (CpuList, Interrupts) {
        match MpTables::find(self.memory) {
            Ok(tables) => {
                let cpus = self.collect_cpus(tables.cpus(), CpuSource::MpTables);
                self.report(Finding::MpTables { problem, cpus: cpus.found() });
                (cpus, Interrupts::collect(tables.io_apics(), tables.overrides(), self.map))
            }
            Err(error) => {
                self.report(Finding::OneCpu { problem, error });
                let BootCpu { apic_id, mode, .. } = self.boot_cpu;
                (CpuList::collect([], apic_id, mode, 1).0, Interrupts::NONE)
            }
        }
    }

    fn collect_cpus(&mut self, cpus: impl Iterator<Item = MadtCpu>, source: CpuSource) -> CpuList {
        let BootCpu { apic_id, mode, max_cpus } = self.boot_cpu;
        let (list, report) = CpuList::collect(cpus, apic_id, mode, max_cpus);
        if report.is_suspicious() {
            self.report(Finding::OddCpus { source, report });
        }
        if report.over_limit > 0 {
            self.report(Finding::TooManyCpus { used: report.listed, found: report.found });
        }
        self.report(Finding::Cpus(report));
        list
    }

    fn fixed_hardware(&mut self, tables: &Tables<'a, M>, interrupts: &Interrupts) -> Option<FixedHardware> {
        let fadt = self.optional(tables, FADT, NOT_USED)?;
        let table_at = |address| read_table(self.memory, address, *b"DSDT").ok();
        let read = FixedHardware::read(fadt, interrupts, self.map, table_at, || tables.all(*b"SSDT"));
        let (fixed_hardware, gaps) =
            read.map_err(|error| self.report(damaged(FADT, error, NOT_USED))).ok()?;
        if !gaps.refused.is_empty() {
            self.report(Finding::RefusedFields(gaps.refused));
        }
        if fixed_hardware.sleep_types.is_none() {
            self.report(Finding::NoSleepTypes);
        }
        if let Some((irq, error)) = gaps.sci {
            self.report(Finding::NoSciRoute { irq, error });
        }
        Some(fixed_hardware)
    }

    fn pm_timer(&mut self, fixed_hardware: Option<&FixedHardware>) -> Option<(u16, bool)> {
        let timer = fixed_hardware?.pm_timer()?;
        timer.map_err(|address| self.report(Finding::PmTimerIsNoPort(address))).ok()
    }

    fn hpet(&mut self, tables: &Tables<'a, M>) -> Option<u64> {
        let table = self.optional(tables, *b"HPET", NOT_USED)?;
        hpet::registers(table, self.map)?.map_err(|misplaced| self.report(Finding::Hpet(misplaced))).ok()
    }

    /// Reads SRAT and SLIT. Without a sound SLIT all nodes are equally far apart; `None` without a sound SRAT.
    fn nodes(&mut self, tables: &Tables<'a, M>, cpus: &CpuList) -> Option<Nodes> {
        let srat = Srat::parse(self.optional(tables, *b"SRAT", ONE_NODE)?);
        let srat = srat.map_err(|error| self.report(damaged(*b"SRAT", error, ONE_NODE))).ok()?;
        let slit = self.optional(tables, *b"SLIT", EQUALLY_FAR).map(Slit::parse);
        let slit = slit
            .and_then(|slit| slit.map_err(|error| self.report(damaged(*b"SLIT", error, EQUALLY_FAR))).ok());
        let (nodes, report) = Nodes::collect(srat, slit, self.map, cpus);
        if report.is_suspicious() {
            self.report(Finding::OddNodes(report));
        }
        Some(nodes)
    }

    fn serial(&mut self, interrupts: &Interrupts) -> Option<Route> {
        let route = interrupts.route_irq(COM1_IRQ, Signal::ISA);
        route.map_err(|error| self.report(Finding::NoSerialRoute(error))).ok()
    }

    /// Returns the first sound table with this signature. Reports a damaged one, with the consequence `instead`.
    fn optional(
        &mut self,
        tables: &Tables<'a, M>,
        signature: [u8; 4],
        instead: &'static str,
    ) -> Option<&'a [u8]> {
        match tables.find_table(signature) {
            Ok(table) => Some(table),
            Err(Problem::Missing(_)) => None,
            Err(problem) => {
                self.report(Finding::Unusable { problem, instead });
                None
            }
        }
    }
}

fn damaged(signature: [u8; 4], error: crate::acpi::TableError, instead: &'static str) -> Finding {
    Finding::Unusable { problem: Problem::Damaged { table: TableName::Signature(signature), error }, instead }
}
