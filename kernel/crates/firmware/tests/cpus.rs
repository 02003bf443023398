//! The CPU list: the oddities of real tables, and any table against a model.

use std::collections::HashSet;

use firmware::cpus::{CpuList, CpuReport, MAX_CPUS, MadtCpu};
use proptest::prelude::*;

const fn lapic(apic_id: u32) -> MadtCpu {
    MadtCpu { apic_id, enabled: true, online_capable: false, x2apic: false }
}

const fn x2apic(apic_id: u32) -> MadtCpu {
    MadtCpu { x2apic: true, ..lapic(apic_id) }
}

#[test]
fn the_boot_cpu_comes_first_wherever_the_table_has_it() {
    let (list, report) = CpuList::collect([0, 2, 4, 6].map(lapic), 4, MAX_CPUS);
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
    let (list, report) = CpuList::collect([lapic(1)], 0, MAX_CPUS);
    assert_eq!(list.apic_ids(), [0, 1]);
    assert!(report.boot_cpu_missing && report.is_suspicious());

    let (list, report) = CpuList::collect([], 7, 0);
    assert_eq!((list.apic_ids(), list.len()), (&[7][..], 1));
    assert_eq!(report.to_string(), "cpus: 1 to use of 0 listed by firmware, the boot cpu not among them");
}

#[test]
fn a_cpu_listed_as_both_kinds_is_one() {
    let entries = [lapic(0), lapic(1), x2apic(0), x2apic(1), x2apic(300)];
    let (list, report) = CpuList::collect(entries, 0, MAX_CPUS);
    assert_eq!(list.apic_ids(), [0, 1, 300]);
    assert_eq!(report.duplicates, 2);
    assert!(report.is_suspicious());
}

#[test]
fn what_cannot_be_used_is_left_out_and_counted() {
    let off = |cpu: MadtCpu| MadtCpu { enabled: false, ..cpu };
    let entries = [
        lapic(0),
        off(lapic(1)),
        MadtCpu { online_capable: true, ..off(lapic(2)) },
        lapic(0xff),
        x2apic(0xffff_ffff),
        lapic(0xffff_ffff),
        x2apic(0xff),
        lapic(3),
        lapic(4),
    ];
    let (list, report) = CpuList::collect(entries, 0, 3);
    assert_eq!(list.apic_ids(), [0, 0xff, 3], "0xff is an ordinary x2APIC id");
    assert_eq!(
        report,
        CpuReport {
            entries: 9,
            listed: 3,
            duplicates: 0,
            disabled: 1,
            hot_pluggable: 1,
            broadcast_ids: 3,
            over_limit: 1,
            boot_cpu_missing: false,
        }
    );
    assert_eq!(
        report.to_string(),
        "cpus: 3 to use of 9 listed by firmware, 1 disabled, 1 hot-pluggable, 3 with a broadcast id, 1 over the limit"
    );
}

#[test]
fn a_disabled_entry_does_not_hide_an_enabled_one() {
    let disabled = MadtCpu { enabled: false, ..lapic(1) };
    let (list, report) = CpuList::collect([lapic(0), disabled, x2apic(1)], 0, MAX_CPUS);
    assert_eq!(list.apic_ids(), [0, 1]);
    assert_eq!((report.disabled, report.duplicates), (1, 0));
}

#[test]
fn there_are_never_more_than_fit() {
    let (list, report) = CpuList::collect((0..1000).map(x2apic), 999, usize::MAX);
    assert_eq!(list.len(), MAX_CPUS);
    assert_eq!(report.over_limit, 1000 - MAX_CPUS);
    assert!(!report.boot_cpu_missing, "found beyond the limit");
}

fn any_cpu() -> impl Strategy<Value = MadtCpu> {
    let id = prop_oneof![8 => 0_u32..12, 1 => Just(0xff), 1 => Just(0xffff_ffff)];
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
    ) {
        let (list, report) = CpuList::collect(entries.iter().copied(), bsp, limit);

        let usable = |cpu: &&MadtCpu| {
            cpu.enabled && cpu.apic_id != 0xffff_ffff && (cpu.x2apic || cpu.apic_id != 0xff)
        };
        let mut seen = HashSet::from([bsp]);
        let mut expected = vec![bsp];
        expected.extend(
            entries.iter().filter(usable).map(|cpu| cpu.apic_id).filter(|&id| seen.insert(id)),
        );
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
                + report.over_limit
        );
    }
}
