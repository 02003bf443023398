//! The whole machine, from tables in memory: results and findings.

#[path = "support/sdt.rs"]
mod sdt;
mod support;

use firmware::cpus::ApicMode;
use firmware::memmap::MemoryMap;
use firmware::topology::{BootCpu, Finding, Severity, Topology};
use sdt::sdt;
use support::{Machine, fix_sum};

const TABLES: u64 = 0x1fe0_0000;
const RSDP: u64 = TABLES + 0x8000;
const DSDT: u64 = TABLES + 0x4000;
const BOOT_CPU: BootCpu = BootCpu { apic_id: 0, mode: ApicMode::XApic, max_cpus: 8 };

/// Returns a MADT with two CPUs and an I/O APIC; COM1's interrupt is at its usual pin, 4.
fn madt() -> Vec<u8> {
    let mut body = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
    body.extend([0, 8, 0, 0, 1, 0, 0, 0, 0, 8, 1, 1, 1, 0, 0, 0]);
    body.extend([1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    sdt(b"APIC", &body)
}

/// Returns a FADT with the fixed hardware of QEMU's q35: SCI 9, PM1a at 0x600, a PM timer at `pm_timer`.
fn fadt(pm_timer: u32) -> Vec<u8> {
    let mut body = vec![0; 276 - 36];
    let mut put = |offset: usize, value: u32| {
        body[offset - 36..offset - 32].copy_from_slice(&value.to_le_bytes());
    };
    put(40, DSDT as u32);
    put(46, 9);
    put(56, 0x600);
    put(64, 0x604);
    put(76, pm_timer);
    put(88, 4);
    put(112, 1 << 8);
    sdt(b"FACP", &body)
}

fn hpet(space: u8, address: u64) -> Vec<u8> {
    let mut body = vec![0; 20];
    body[4] = space;
    body[8..16].copy_from_slice(&address.to_le_bytes());
    sdt(b"HPET", &body)
}

/// Returns a machine with a usual DSDT and these tables.
fn machine(tables: &[Vec<u8>]) -> Machine {
    let mut machine = Machine::new();
    let mut addresses = Vec::new();
    for (index, table) in (0..).zip(tables) {
        let at = TABLES + 0x400 * index;
        machine.put(at, table);
        addresses.extend(at.to_le_bytes());
    }
    machine.put(DSDT, &sdt(b"DSDT", b"\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05\x00\x00"));
    machine.put(TABLES + 0x7000, &sdt(b"XSDT", &addresses));
    let mut rsdp = b"RSD PTR \0TESTER\x02\0\0\0\0".to_vec();
    fix_sum(&mut rsdp, 8);
    rsdp.extend(36_u32.to_le_bytes());
    rsdp.extend((TABLES + 0x7000).to_le_bytes());
    rsdp.extend([0; 4]);
    fix_sum(&mut rsdp, 32);
    machine.put(RSDP, &rsdp);
    machine
}

fn read(machine: &Machine, rsdp: Option<u64>, boot_cpu: BootCpu) -> (Topology, Vec<Finding>) {
    let map: &MemoryMap = &machine.map;
    let mut findings = Vec::new();
    let topology = Topology::read(machine, rsdp, map, boot_cpu, &mut |finding| findings.push(finding));
    (topology, findings)
}

/// Returns the lines of all findings except those for debugging.
fn lines(findings: &[Finding]) -> Vec<String> {
    let is_shown = |finding: &&Finding| finding.severity() != Severity::Debug;
    findings.iter().filter(is_shown).map(ToString::to_string).collect()
}

#[test]
fn sound_tables_give_the_whole_machine_and_no_warning() {
    let machine = machine(&[madt(), fadt(0x608), hpet(0, 0xfed0_0000)]);
    let (topology, findings) = read(&machine, Some(RSDP), BOOT_CPU);
    assert_eq!(lines(&findings), [""; 0]);
    assert_eq!(topology.cpus.apic_ids(), [0, 1]);
    let serial = topology.serial.expect("a route for COM1");
    assert_eq!((serial.io_apic, serial.pin, serial.is_level), (0xfec0_0000, 4, false));
    assert_eq!(topology.hpet, Some(0xfed0_0000));
    assert_eq!(topology.pm_timer, Some((0x608, true)));
    assert_eq!(topology.nodes.len(), 1);
    let fixed_hardware = topology.fixed_hardware.expect("a FADT");
    assert_eq!(fixed_hardware.sleep_types, Some((5, 5)));
    let sci = fixed_hardware.sci.expect("a route for the SCI");
    assert_eq!((sci.pin, sci.is_level, sci.is_active_low), (9, true, true));
    assert!(fixed_hardware.fadt.pm1_controls[0].is_some());
}

#[test]
fn without_tables_one_cpu_is_left_and_one_warning_says_so() {
    let machine = Machine::new();
    let (topology, findings) = read(&machine, None, BootCpu { apic_id: 3, ..BOOT_CPU });
    assert_eq!(topology.cpus.apic_ids(), [3]);
    assert!(topology.serial.is_none() && topology.fixed_hardware.is_none());
    assert!(topology.hpet.is_none() && topology.pm_timer.is_none());
    let lines = lines(&findings);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("acpi: no root pointer found; mp tables: "), "{}", lines[0]);
    assert!(lines[0].ends_with("; going on with one CPU"), "{}", lines[0]);
}

#[test]
fn a_wrong_root_pointer_and_a_damaged_table_are_reported_in_order() {
    let mut damaged = fadt(0x608);
    damaged[60] ^= 1;
    let mut machine = machine(&[madt(), damaged]);
    let mut rsdp = b"RSD PTR \0TESTER\0".to_vec();
    rsdp.extend(((TABLES + 0x7800) as u32).to_le_bytes());
    fix_sum(&mut rsdp, 8);
    let narrow: Vec<u8> = [TABLES, TABLES + 0x400].iter().flat_map(|at| (*at as u32).to_le_bytes()).collect();
    machine.put(TABLES + 0x7800, &sdt(b"RSDT", &narrow));
    machine.put(0xf_1230, &rsdp);
    let (topology, findings) = read(&machine, Some(0x1234), BOOT_CPU);
    assert_eq!(topology.cpus.len(), 2);
    assert!(topology.fixed_hardware.is_none() && topology.pm_timer.is_none());
    let lines = lines(&findings);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("; using a root pointer that was searched for"), "{}", lines[0]);
    assert!(lines[1].starts_with("acpi: FADT: bytes add up to"), "{}", lines[1]);
    assert!(lines[1].ends_with("; it is not used"), "{}", lines[1]);
}

#[test]
fn an_hpet_in_memory_or_of_another_space_is_not_used() {
    for (space, address) in [(0, 0x20_0000), (1, 0xfed0_0000), (0, 0), (0, 0xfed0_0004)] {
        let machine = machine(&[madt(), hpet(space, address)]);
        let (topology, findings) = read(&machine, Some(RSDP), BOOT_CPU);
        assert_eq!(topology.hpet, None);
        let expected = format!(
            "acpi: the hpet's registers cannot be at {address:#x} of address space {space}; it is not used"
        );
        assert_eq!(lines(&findings), [expected]);
    }
    let short = sdt(b"HPET", &[0; 19]);
    let (topology, findings) = read(&machine(&[madt(), short]), Some(RSDP), BOOT_CPU);
    assert_eq!(
        (topology.hpet, lines(&findings)),
        (None, Vec::new()),
        "a table that is too short is left out"
    );
}

#[test]
fn missing_optional_parts_are_for_debugging_only() {
    let mut machine = machine(&[madt(), fadt(0)]);
    machine.put(DSDT, &sdt(b"DSDT", b"no sleep state"));
    let (topology, findings) = read(&machine, Some(RSDP), BOOT_CPU);
    assert_eq!(topology.pm_timer, None);
    assert_eq!(topology.fixed_hardware.and_then(|hardware| hardware.sleep_types), None);
    assert_eq!(lines(&findings), [""; 0]);
    assert!(findings.contains(&Finding::NoSleepTypes), "{findings:?}");
}

#[test]
fn at_most_as_many_cpus_as_wanted_are_listed() {
    let machine = machine(&[madt()]);
    let (topology, _) = read(&machine, Some(RSDP), BootCpu { max_cpus: 1, ..BOOT_CPU });
    assert_eq!((topology.cpus.len(), topology.cpus.found()), (1, 2));
}
