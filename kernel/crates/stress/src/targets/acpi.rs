//! From MADT to CPU list and routes, from SRAT and SLIT to nodes, from AML to sleep types.

use std::sync::LazyLock;

use firmware::affinity::{Slit, Srat};
use firmware::aml::sleep_state_s5;
use firmware::cpus::{ApicMode, CpuList, CpuReport, MAX_CPUS, MadtCpu};
use firmware::fadt;
use firmware::isa_irq::{Interrupts, IoApic, Override, Signal};
use firmware::madt::Madt;
use firmware::memmap::{Kind, MemoryMap, Region};
use firmware::nodes::{MAX_NODES, Nodes};
use firmware::registers::Space;

use crate::input::{Rng, sdt, seal_sdt};

/// A machine's memory map: memory, and registers above it.
pub static MAP: LazyLock<MemoryMap> = LazyLock::new(|| {
    let region = |start, end, kind| Region { start, end, kind };
    let regions = [
        region(0, 0x9_f000, Kind::Usable),
        region(0xf_0000, 0x10_0000, Kind::Reserved),
        region(0x10_0000, 0x1fe0_0000, Kind::Usable),
        region(0x1fe0_0000, 0x1ff0_0000, Kind::AcpiReclaimable),
        region(0x1ff0_0000, 0x2000_0000, Kind::AcpiNvs),
        region(0x3000_0000, 0x3010_0000, Kind::Bad),
        region(0xfec0_0000, 0xfec0_1000, Kind::Reserved),
        region(1 << 32, 5 << 32, Kind::Usable),
    ];
    MemoryMap::sanitise(regions, 46).0
});

static SOUND_MADT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut body = [0xfee0_0000_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat();
    for id in 0..4_u8 {
        body.extend([0, 8, id, id, 1, 0, 0, 0]);
    }
    for id in [4_u32, 5, 0x104, 0x1716_1514] {
        body.extend([9, 16, 0, 0]);
        body.extend([id, u32::from(id != 5), id].map(u32::to_le_bytes).concat());
    }
    for (address, gsi) in [(0xfec0_0000_u32, 0_u32), (0xfec1_0000, 24)] {
        body.extend([1, 12, 0, 0]);
        body.extend([address, gsi].map(u32::to_le_bytes).concat());
    }
    for (irq, gsi, flags) in [(0, 2, 0), (4, 4, 5), (9, 9, 0xd)] {
        body.extend([2, 10, 0, irq, gsi, 0, 0, 0, flags, 0]);
    }
    body.extend([4, 6, 0xff, 0, 0, 1]);
    sdt(b"APIC", 3, &body)
});

/// Parses any MADT: the result is an error, or a walk that ends and valid lists.
pub fn madt(rng: &mut Rng) -> bool {
    let mut table = SOUND_MADT.clone();
    rng.break_bytes(&mut table);
    if !rng.one_in(16) {
        seal_sdt(&mut table);
    }
    let Ok(madt) = Madt::parse(&table) else { return false };
    let boot_cpu = rng.pick(&[0, 1, 4, 0x104, 0xff]);
    check_cpus(rng, madt.cpus(), boot_cpu);
    check_interrupts(madt.io_apics(), madt.overrides());
    true
}

fn cpu(apic_id: u32, flags: u32, x2apic: bool) -> MadtCpu {
    MadtCpu { apic_id, enabled: flags & 1 != 0, online_capable: flags & 2 != 0, x2apic }
}

/// Checks the CPU list of any entries: the boot CPU first, each CPU once, none that the interrupt controller cannot
/// address, and each entry counted once.
pub fn check_cpus(rng: &mut Rng, cpus: impl Iterator<Item = MadtCpu>, boot_cpu: u32) {
    let mode = rng.pick(&[ApicMode::XApic, ApicMode::X2Apic]);
    let wanted = rng.pick(&[1, 2, 3, MAX_CPUS, usize::MAX]);
    let (list, report) = CpuList::collect(cpus, boot_cpu, mode, wanted);
    let ids = list.apic_ids();
    let first = if mode == ApicMode::XApic { boot_cpu & 0xff } else { boot_cpu };
    assert_eq!(ids[0], first, "the boot cpu comes first");
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(list.index_of(*id), Some(index), "each cpu is listed once");
        assert!(index == 0 || *id <= mode.highest_id(), "{id:#x} can be addressed");
    }
    assert!(ids.len() <= wanted && ids.len() <= MAX_CPUS && ids.len() <= list.found());
    let CpuReport { entries, duplicates, disabled, hot_pluggable, broadcast_ids, unaddressable, .. } = report;
    let left_out = duplicates + disabled + hot_pluggable + broadcast_ids + unaddressable;
    assert_eq!(entries, left_out + list.found() - usize::from(report.boot_cpu_missing));
    assert_eq!(list.found(), ids.len() + report.not_wanted + report.over_limit);
}

/// Checks the interrupt routes of any entries: no registers in memory, no pin out of range.
pub fn check_interrupts(
    io_apics: impl Iterator<Item = IoApic>,
    overrides: impl Iterator<Item = Override>,
) -> Interrupts {
    let interrupts = Interrupts::collect(io_apics, overrides, &MAP);
    let is_in_memory = |address: u32| {
        let address = u64::from(address);
        let kind = |at| MAP.kind_at(at).is_some_and(|kind| kind != Kind::Reserved);
        kind(address) || kind(address + 0x13)
    };
    for io_apic in interrupts.io_apics() {
        assert!(!is_in_memory(io_apic.address), "{:#x}", io_apic.address);
    }
    for irq in [0, 4, 9, 15, 255] {
        let routes = [interrupts.route_irq(irq, Signal::ISA), interrupts.route_sci(irq.into())];
        for route in routes.into_iter().flatten() {
            assert!(!is_in_memory(route.io_apic) && route.pin < 240);
            assert!(interrupts.io_apics().any(|io_apic| io_apic.address == route.io_apic));
        }
    }
    interrupts
}

static SOUND_SRAT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut body = vec![0; 12];
    for cpu in 0..4_u8 {
        body.extend([0, 16, cpu / 2, cpu, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    body.extend([2, 24, 0, 0]);
    body.extend([2_u32, 4, 1, 0, 0].map(u32::to_le_bytes).concat());
    for (domain, start, len) in [
        (0_u32, 0_u64, 0xa_0000_u64),
        (0, 0x10_0000, 0x1ff0_0000),
        (1, 1 << 32, 2 << 32),
        (2, 3 << 32, 2 << 32),
    ] {
        body.extend([1, 40]);
        body.extend(domain.to_le_bytes());
        body.extend([0; 2]);
        body.extend([start, len].map(u64::to_le_bytes).concat());
        body.extend([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    sdt(b"SRAT", 3, &body)
});

static SOUND_SLIT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut body = 3_u64.to_le_bytes().to_vec();
    body.extend([10, 20, 30, 20, 10, 21, 30, 21, 10]);
    sdt(b"SLIT", 1, &body)
});

/// Parses any SRAT and SLIT: the result is errors, or nodes that cover the machine.
pub fn nodes(rng: &mut Rng) -> bool {
    let (mut srat, mut slit) = (SOUND_SRAT.clone(), SOUND_SLIT.clone());
    rng.break_bytes(&mut srat);
    if rng.one_in(2) {
        rng.break_bytes(&mut slit);
    }
    if !rng.one_in(16) {
        seal_sdt(&mut srat);
        seal_sdt(&mut slit);
    }
    let Ok(srat) = Srat::parse(&srat) else { return false };
    let slit = Slit::parse(&slit).ok();
    let (cpus, _) = CpuList::collect((0..6).map(|id| cpu(id, 1, false)), 0, ApicMode::XApic, MAX_CPUS);
    let (nodes, report) = Nodes::collect(srat, slit, &MAP, &cpus);
    assert!((1..=MAX_NODES).contains(&nodes.len()));
    for cpu in 0..MAX_CPUS + 1 {
        assert!(nodes.node_of_cpu(cpu) < nodes.len());
    }
    for memory in MAP.usable() {
        let mut at = memory.start;
        for part in nodes.split(memory.clone()) {
            assert!(part.start == at && part.end > at && usize::from(part.node) < nodes.len());
            at = part.end;
        }
        assert_eq!(at, memory.end, "the parts cover the memory");
    }
    for from in 0..nodes.len() {
        for to in 0..nodes.len() {
            let distance = nodes.distance(from, to);
            assert!(if from == to { distance == 10 } else { distance > 10 }, "{from} to {to}: {distance}");
        }
    }
    assert!(report.unplaced_bytes <= MAP.total_usable_bytes() && report.unplaced_cpus <= cpus.len());
    true
}

static SOUND_FADT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut table = vec![0; 276];
    let mut put = |at: usize, bytes: &[u8]| table[at..at + bytes.len()].copy_from_slice(bytes);
    put(40, &0x1fe0_0000_u32.to_le_bytes());
    put(46, &[9, 0, 0xb2, 0, 0, 0, 2, 3]);
    for (at, port) in [(56, 0x600_u32), (64, 0x604), (76, 0x608), (80, 0x620)] {
        put(at, &port.to_le_bytes());
    }
    put(88, &[4, 2, 0, 4, 16]);
    put(112, &(1_u32 << 8 | 1 << 10).to_le_bytes());
    // Reset, sleep control and sleep status registers, and 64-bit forms of the others.
    for (at, space, bits, address) in [
        (116, 1, 8, 0xcf9_u64),
        (148, 1, 32, 0x600),
        (172, 1, 16, 0x604),
        (208, 0, 32, 0xfed4_0000),
        (244, 0, 8, 0xfed4_1000),
        (256, 1, 8, 0x3f0),
    ] {
        put(at, &[space, bits, 0, 1]);
        put(at + 4, &address.to_le_bytes());
    }
    sdt(b"FACP", 6, &table[36..])
});

/// Parses any FADT: the result is an error, or registers outside memory.
pub fn fixed_hardware(rng: &mut Rng) -> bool {
    let mut table = SOUND_FADT.clone();
    rng.break_bytes(&mut table);
    if !rng.one_in(16) {
        seal_sdt(&mut table);
    }
    let Ok((fadt, _)) = fadt::parse(&table, &MAP) else { return false };
    let events = fadt.pm1_events.into_iter().flatten().flat_map(|block| [block.status, block.enable]);
    let controls = fadt.pm1_controls.into_iter().flatten();
    let others = [fadt.sleep_control, fadt.sleep_status, fadt.reset.map(|(register, _)| register)];
    let timer = fadt.pm_timer.map(|timer| timer.register);
    for register in events.chain(controls).chain(others.into_iter().flatten()).chain(timer) {
        let last = register.address.checked_add(u64::from(register.bytes) - 1).expect("it is somewhere");
        match register.space {
            Space::Port => assert!(last < 1 << 16),
            Space::Memory => {
                let is_memory = |at| MAP.kind_at(at).is_some_and(|kind| kind != Kind::Reserved);
                assert!(!is_memory(register.address) && !is_memory(last), "{register:?}");
            }
            Space::PciConfig => {}
        }
    }
    true
}

/// Parses any AML: the result is no sleep types, or two of 3 bits.
pub fn sleep_state(rng: &mut Rng) -> bool {
    const AML: &[u8] = b"\x10\x08\\_SB_\x08_S4_\x12\x06\x04\x00\x08\\_S5_\x12\x0a\x04\x0a\x05\x0b\x05\x00\x00\x00\x14\x08_S3_\xa4\x01";
    let mut aml = AML.to_vec();
    rng.break_bytes(&mut aml);
    let found = sleep_state_s5(&aml);
    assert!(found.is_none_or(|(a, b)| a < 8 && b < 8));
    found.is_some()
}
