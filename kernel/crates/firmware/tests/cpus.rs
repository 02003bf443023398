//! The CPU list: oddities of real tables, and arbitrary tables against a model.

use std::collections::HashSet;

use firmware::cpus::{ApicMode, CpuList, CpuReport, MAX_CPUS, MadtCpu};
use proptest::prelude::*;

const fn lapic(apic_id: u32) -> MadtCpu {
    MadtCpu { apic_id, enabled: true, online_capable: false, x2apic: false }
}

const fn x2apic(apic_id: u32) -> MadtCpu {
    MadtCpu { x2apic: true, ..lapic(apic_id) }
}

/// Returns the list for a kernel that uses x2APIC.
fn collect(
    entries: impl IntoIterator<Item = MadtCpu>,
    bsp_apic_id: u32,
    wanted: usize,
) -> (CpuList, CpuReport) {
    CpuList::collect(entries, bsp_apic_id, ApicMode::X2Apic, wanted)
}

#[test]
fn the_boot_cpu_comes_first_wherever_the_table_has_it() {
    let (list, report) = collect([0, 2, 4, 6].map(lapic), 4, MAX_CPUS);
    assert_eq!(list.apic_ids(), [4, 0, 2, 6]);
    assert_eq!(list.apic_id(0), Some(4));
    assert_eq!(list.apic_id(4), None);
    assert_eq!(list.index_of(6), Some(3));
    assert_eq!(list.index_of(1), None);
    assert!(!report.is_suspicious());
    assert_eq!(report.to_string(), "cpus: 4 to use of 4 listed by firmware");
}

#[test]
fn a_table_without_the_boot_cpu_is_suspicious() {
    let (list, report) = collect([lapic(1)], 0, MAX_CPUS);
    assert_eq!(list.apic_ids(), [0, 1]);
    assert!(report.boot_cpu_missing && report.is_suspicious());

    let (list, report) = collect([], 7, 0);
    assert_eq!((list.apic_ids(), list.len()), (&[7][..], 1));
    assert_eq!(report.to_string(), "cpus: 1 to use of 0 listed by firmware, the boot cpu not among them");
}

#[test]
fn a_cpu_listed_as_both_kinds_is_one() {
    let entries = [lapic(0), lapic(1), x2apic(0), x2apic(1), x2apic(300)];
    let (list, report) = collect(entries, 0, MAX_CPUS);
    assert_eq!(list.apic_ids(), [0, 1, 300]);
    assert_eq!(report.duplicates, 2);
    assert!(report.is_suspicious());
}

#[test]
fn unusable_entries_are_left_out_and_counted() {
    let off = |cpu: MadtCpu| MadtCpu { enabled: false, ..cpu };
    let entries = [
        lapic(0),
        off(lapic(1)),
        off(x2apic(0xffff_ffff)),
        off(lapic(0xff)),
        MadtCpu { online_capable: true, ..off(lapic(2)) },
        lapic(0xff),
        x2apic(0xffff_ffff),
        lapic(0xffff_ffff),
        x2apic(0xff),
        lapic(3),
        lapic(4),
    ];
    let (list, report) = collect(entries, 0, 3);
    assert_eq!(list.apic_ids(), [0, 0xff, 3], "0xff is an ordinary x2APIC id");
    assert_eq!(
        report,
        CpuReport {
            entries: 11,
            found: 4,
            listed: 3,
            duplicates: 0,
            disabled: 3,
            hot_pluggable: 1,
            broadcast_ids: 3,
            unaddressable: 0,
            not_wanted: 1,
            over_limit: 0,
            boot_cpu_missing: false,
        }
    );
    assert_eq!(
        report.to_string(),
        "cpus: 3 to use of 11 listed by firmware, 3 disabled, 1 hot-pluggable, 3 with a broadcast id, 1 not wanted"
    );
}

#[test]
fn a_disabled_entry_does_not_hide_an_enabled_one() {
    let disabled = MadtCpu { enabled: false, ..lapic(1) };
    let (list, report) = collect([lapic(0), disabled, x2apic(1)], 0, MAX_CPUS);
    assert_eq!(list.apic_ids(), [0, 1]);
    assert_eq!((report.disabled, report.duplicates), (1, 0));
}

#[test]
fn a_full_list_counts_further_cpus() {
    let (list, report) = collect((0..1000).map(x2apic), 999, usize::MAX);
    assert_eq!(list.len(), MAX_CPUS);
    assert_eq!(report.over_limit, 1000 - MAX_CPUS);
    assert_eq!((list.found(), report.found, report.not_wanted), (1000, 1000, 0));
    assert!(!report.boot_cpu_missing, "found beyond the limit");
    assert!(!report.is_suspicious());
}

#[test]
fn cpus_over_the_callers_limit_count_as_found() {
    let (list, report) = collect((0..1000).map(x2apic), 0, 2);
    assert_eq!((list.apic_ids(), list.found()), (&[0, 1][..], 1000));
    assert_eq!((report.not_wanted, report.over_limit), (998, 0));
    let (list, report) = collect((0..4).map(lapic), 0, 4);
    assert_eq!((list.len(), list.found(), report.not_wanted), (4, 4, 0));
}

#[test]
fn ids_that_xapic_mode_cannot_address_are_left_out_and_counted() {
    let absurd = [0x1716_1514, 0x1716_15ff, 0x1716_1500, 0x100, 0xff].map(x2apic);
    let entries = [lapic(0), lapic(1), x2apic(0xfe), lapic(0xff)].into_iter().chain(absurd);
    let (list, report) = CpuList::collect(entries.clone(), 0, ApicMode::XApic, MAX_CPUS);
    assert_eq!(list.apic_ids(), [0, 1, 0xfe]);
    assert_eq!((report.unaddressable, report.broadcast_ids, report.duplicates), (5, 1, 0));
    assert!(report.is_suspicious());
    assert_eq!(
        report.to_string(),
        "cpus: 3 to use of 9 listed by firmware, 1 with a broadcast id, 5 with an id that the interrupt controller cannot address"
    );
    let (list, report) = CpuList::collect(entries, 0, ApicMode::X2Apic, MAX_CPUS);
    assert_eq!((list.len(), report.unaddressable), (8, 0), "x2APIC mode can");
}

#[test]
fn the_boot_cpu_has_an_id_that_its_mode_can_address() {
    let (list, report) = CpuList::collect([lapic(0), lapic(2)], 0x102, ApicMode::XApic, MAX_CPUS);
    assert_eq!(list.apic_ids(), [2, 0]);
    assert!(!report.boot_cpu_missing);
    let (list, _) = CpuList::collect([lapic(0), x2apic(0x102)], 0x102, ApicMode::X2Apic, MAX_CPUS);
    assert_eq!(list.apic_ids(), [0x102, 0]);
}

#[test]
fn disabled_entries_of_any_id_are_in_order() {
    let disabled = [0, 1, 0xff, 0x1716_1514, 0xffff_ffff]
        .map(|id| MadtCpu { enabled: false, ..x2apic(id) })
        .into_iter()
        .chain([MadtCpu { enabled: false, ..lapic(0xff) }]);
    for mode in [ApicMode::XApic, ApicMode::X2Apic] {
        let (list, report) = CpuList::collect(disabled.clone().chain([lapic(0)]), 0, mode, MAX_CPUS);
        assert_eq!((list.apic_ids(), report.disabled), (&[0][..], 6));
        assert!(!report.is_suspicious(), "{report}");
    }
}

fn any_cpu() -> impl Strategy<Value = MadtCpu> {
    let id = prop_oneof![8 => 0_u32..12, 1 => Just(0xff), 1 => Just(0x104), 1 => Just(0xffff_ffff)];
    (id, prop::bool::weighted(0.8), any::<bool>(), any::<bool>()).prop_map(
        |(apic_id, enabled, online_capable, x2apic)| MadtCpu { apic_id, enabled, online_capable, x2apic },
    )
}

proptest! {
    #[test]
    fn the_list_is_the_boot_cpu_and_each_usable_cpu_once(
        entries in prop::collection::vec(any_cpu(), 0..40),
        bsp in 0_u32..12,
        limit in 0_usize..16,
        is_x2apic in any::<bool>(),
    ) {
        let mode = if is_x2apic { ApicMode::X2Apic } else { ApicMode::XApic };
        let (list, report) = CpuList::collect(entries.iter().copied(), bsp, mode, limit);

        let usable = |cpu: &&MadtCpu| {
            cpu.enabled
                && cpu.apic_id != 0xffff_ffff
                && (cpu.x2apic || cpu.apic_id != 0xff)
                && (is_x2apic || cpu.apic_id < 0xff)
        };
        let mut seen = HashSet::from([bsp]);
        let mut expected = vec![bsp];
        expected.extend(
            entries.iter().filter(usable).map(|cpu| cpu.apic_id).filter(|&id| seen.insert(id)),
        );
        prop_assert_eq!(list.found(), expected.len());
        expected.truncate(limit.max(1));
        prop_assert_eq!(list.apic_ids(), &expected[..]);

        let bsp_listed = entries.iter().filter(usable).any(|cpu| cpu.apic_id == bsp);
        prop_assert_eq!(report.boot_cpu_missing, !bsp_listed);
        // Each entry is counted once, the boot CPU's entry as listed.
        prop_assert_eq!(
            report.entries,
            report.listed - usize::from(report.boot_cpu_missing)
                + report.duplicates
                + report.disabled
                + report.hot_pluggable
                + report.broadcast_ids
                + report.unaddressable
                + report.not_wanted
                + report.over_limit
        );
    }
}
