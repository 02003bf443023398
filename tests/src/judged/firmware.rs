//! Handovers by firmware and loaders: right, odd and wrong. The kernel uses everything usable, reports the rest once, and powers
//! the machine off.
//!
//! Each of the [`CASES`] is a change to a valid handover. To add a case, add a line there.

use super::scenario::{cpus, ensure, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP2, Shape};
use crate::standin::start_info::{Kind, range};
use crate::standin::tables::{self, Fields, local_apic, local_x2apic};
use crate::standin::tags::{self, Tag};
use crate::standin::{EBDA_AT, Handover, MEMORY_MIB, Root, State, mp};
use ktask_boot::qemu::Shutdown;
use ktask_boot::run::Ending;
use libtest_mimic::{Completion, Failed, Trial};
use protocol::exit::Verdict;
use protocol::record::{Record, Status};

/// A machine, a changed handover, and the expected outcome.
#[derive(Clone, Copy)]
struct Case {
    /// Name of the test after `firmware::`, as `case::expectation`.
    name: &'static str,
    /// The change to the valid handover.
    change: fn(&mut Handover),
    /// Additional arguments for QEMU.
    extra: &'static [&'static str],
    /// CPUs that come online, of two.
    online: u32,
    /// Limit for usable memory that the kernel does not use.
    lost_bytes: u64,
    /// Parts of each expected warning; there must be no others.
    warnings: &'static [&'static [&'static str]],
    ends: Ends,
    /// Whether the case needs a newer QEMU.
    is_newer: bool,
}

/// How a machine ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// By the exit device.
    ByVerdict,
    /// Without that device: by power-off or reset.
    By(Shutdown),
}

/// Returns a case that passes without warnings.
const fn case(name: &'static str, change: fn(&mut Handover)) -> Case {
    Case {
        name,
        change,
        extra: &[],
        online: 2,
        lost_bytes: NEVER_USED,
        warnings: &[],
        ends: Ends::ByVerdict,
        is_newer: false,
    }
}

impl Case {
    const fn warns(self, warnings: &'static [&'static [&'static str]]) -> Self {
        Self { warnings, ..self }
    }

    const fn on_newer_qemu(self) -> Self {
        Self { is_newer: true, ..self }
    }

    const fn loses(self, lost_bytes: u64) -> Self {
        Self { lost_bytes, ..self }
    }

    const fn on(self, extra: &'static [&'static str]) -> Self {
        Self { extra, ..self }
    }

    const fn online(self, online: u32) -> Self {
        Self { online, ..self }
    }

    const fn ends(self, shutdown: Shutdown) -> Self {
        Self { ends: Ends::By(shutdown), ..self }
    }
}

/// Usable memory that the kernel never uses.
pub(super) const NEVER_USED: u64 = 1 << 20;

/// Warning of a machine without x2APIC about CPUs that it cannot address.
const UNADDRESSABLE: &[&[&str]] = &[&["an id that the interrupt controller cannot address"]];

const CASES: &[Case] = &[
    case("valid::all_is_used", |_| {}),
    // Tags of Multiboot2.
    case("multiboot2::all_is_used", |h| h.by_multiboot2(|_| {})),
    case("multiboot2_without_a_map::basic_sizes_are_used", |h| {
        h.by_multiboot2(|list| list.retain(|tag| tag.kind != tags::MEMORY_MAP));
    })
    .warns(&[&["contain no memory map"]]),
    case("multiboot2_without_a_root_pointer::it_is_found", |h| {
        h.set_ebda();
        h.root_mut().at = Some(EBDA_AT + 0x30);
        h.by_multiboot2(|list| list.retain(|tag| tag.kind != tags::ROOT_POINTER));
    }),
    case("multiboot2_with_a_damaged_root_pointer::the_right_one_is_found", |h| {
        h.set_ebda();
        h.root_mut().at = Some(EBDA_AT + 0x30);
        h.by_multiboot2(|list| find(list, tags::ROOT_POINTER).body[8] ^= 1);
    })
    .warns(&[&["root pointer", "that was searched for"]]),
    case("multiboot2_without_an_end::all_is_used", |h| {
        h.by_multiboot2(|list| list.retain(|tag| tag.kind != tags::END));
    })
    .warns(&[&["have no end"]]),
    case("multiboot2_tag_that_overruns::tags_before_it_are_used", |h| {
        h.by_multiboot2(|list| find(list, tags::END).size = u32::MAX - 7);
    })
    .warns(&[&["4294967288 bytes at offset", "does not fit"]]),
    case("multiboot2_tag_of_size_0::tags_before_it_are_used", |h| {
        h.by_multiboot2(|list| find(list, tags::END).size = 0);
    })
    .warns(&[&["0 bytes at offset", "does not fit"]]),
    case("multiboot2_screen_of_width_0::is_not_used", |h| {
        h.by_multiboot2(|list| list.insert(0, tags::screen(SCREEN_AT, 0, 768, 4096, 1)));
    })
    .warns(&[&["screen is not used", "0 x 768 pixels"]]),
    case("multiboot2_screen_of_unknown_format::is_not_used", |h| {
        h.by_multiboot2(|list| list.insert(0, tags::screen(SCREEN_AT, 1024, 768, 4096, 9)));
    })
    .warns(&[&["screen is not used", "no red, green and blue"]]),
    case("multiboot2_screen_in_memory::is_not_used", |h| {
        h.by_multiboot2(|list| list.insert(0, tags::screen(0x80_0000, 1024, 768, 4096, 1)));
    })
    .warns(&[&["screen is not used", "0x800000 is other memory"]]),
    case("multiboot2_screen_over_registers::is_not_used", |h| {
        h.by_multiboot2(|list| list.insert(0, tags::screen(0xfee0_0000, 1024, 768, 4096, 1)));
    })
    .warns(&[&["screen is not used", "0xfee00000 is where the chipset has its registers"]]),
    case("multiboot2_empty_map_before_a_sound_one::the_sound_one_is_used", |h| {
        h.by_multiboot2(|list| {
            let empty = [24_u32, 0].map(u32::to_le_bytes).concat();
            list.insert(0, tags::Tag::new(tags::MEMORY_MAP, empty));
        });
    })
    .warns(&[&["one of kind 6 that is too short: 16 bytes"]]),
    // CPUs.
    case("x2apic_id_0x17161514::is_left_out", |h| add_x2apic(h, 8, 0x1716_1514)).warns(UNADDRESSABLE),
    case("x2apic_id_of_the_boot_cpu_in_8_bits::is_left_out", |h| add_x2apic(h, 1, 0x100))
        .warns(UNADDRESSABLE),
    case("x2apic_id_of_another_cpu_in_8_bits::is_left_out", |h| add_x2apic(h, 1, 0x101)).warns(UNADDRESSABLE),
    case("x2apic_id_of_all_cpus_in_8_bits::is_left_out", |h| add_x2apic(h, 1, 0x1ff)).warns(UNADDRESSABLE),
    case("x2apic_id_of_all_cpus::is_left_out", |h| add_x2apic(h, 1, 0xff)).warns(UNADDRESSABLE),
    case("xapic_id_of_all_cpus::is_left_out", |h| h.madt.push(local_apic(0xff, 1)))
        .warns(&[&["a broadcast id"]]),
    case("x2apic_ids_of_disabled_cpus::are_ignored", |h| {
        h.madt.extend((0..96).map(|_| local_x2apic(u32::MAX, 0)));
    }),
    case("xapic_ids_of_disabled_cpus::are_ignored", |h| {
        h.madt.extend((0..96).map(|_| local_apic(0xff, 0)));
    }),
    case("cpu_as_both_kinds_of_entry::counts_once", |h| {
        h.madt.extend([local_x2apic(0, 1), local_x2apic(1, 1)]);
    })
    .warns(&[&["twice"]]),
    // Root tables.
    case("revision_0::rsdt_is_used", |h| {
        (h.root_mut().revision, h.root_mut().xsdt, h.root_mut().rsdt) = (0, State::Absent, State::Sound);
    }),
    case("revision_1::rsdt_is_used", |h| {
        (h.root_mut().revision, h.root_mut().xsdt, h.root_mut().rsdt) = (1, State::Absent, State::Sound);
    }),
    case("xsdt_at_0::rsdt_is_used", |h| {
        (h.root_mut().xsdt, h.root_mut().rsdt) = (State::Absent, State::Sound);
    }),
    case("xsdt_damaged::rsdt_is_used", |h| {
        (h.root_mut().xsdt, h.root_mut().rsdt) = (State::Damaged, State::Sound);
    })
    .warns(&[&["XSDT"]]),
    case("xsdt_nowhere::rsdt_is_used", |h| {
        (h.root_mut().xsdt, h.root_mut().rsdt) = (State::Nowhere, State::Sound);
    })
    .warns(&[&["XSDT"]]),
    case("null_tables::are_passed_over", |h| h.root_mut().has_nulls = true),
    case("null_tables_of_rsdt::are_passed_over", |h| {
        h.root = Some(Root {
            revision: 0,
            xsdt: State::Absent,
            rsdt: State::Sound,
            has_nulls: true,
            ..*h.root_mut()
        });
    }),
    // Location of the root pointer.
    case("root_in_ebda::is_found", |h| {
        h.set_ebda();
        (h.root_mut().at, h.root_mut().is_named) = (Some(EBDA_AT + 0x30), false);
    }),
    case("root_in_bios_memory::is_found", |h| {
        h.open_bios_memory();
        (h.root_mut().at, h.root_mut().is_named) = (Some(0xf_1230), false);
    }),
    // The memory map.
    case("map_of_313_entries::all_are_used", |h| long_map(h, 154)),
    case("map_of_600_entries::all_are_used", |h| long_map(h, 298)),
    case("map_of_2000_entries::is_read_to_its_end", |h| long_map(h, 998))
        .loses(4 << 20)
        .warns(&[&["the firmware's memory map", "lost"]]),
    case("reserved_at_1_and_4_tib::is_no_memory", |h| {
        h.map.push(range(0xfd_0000_0000, 0x3_0000_0000, Kind::Reserved));
        h.map.push(range(0x3ff_f000_0000, 0x1000_0000, Kind::Reserved));
    })
    // The translator's physical addresses have 40 bits.
    .warns(&[&["the firmware's memory map", "1 beyond the physical address space"]]),
    // The command line.
    case("command_line_of_5000_bytes::is_truncated_with_a_warning", |h| {
        h.command_line = b"run=none log.level=info ".repeat(210);
    })
    .warns(&[&["command line"]]),
    case("command_line_with_an_invalid_byte::loses_one_word", |h| {
        h.command_line = b"log.level=de\xe9bug smp.max_cpus=1 run=none".to_vec();
    })
    .online(1)
    .warns(&[&["command line"]]),
    // Power.
    case("power::old_fields_power_off", |_| {}).ends(Shutdown::PowerOff),
    case("power::new_fields_power_off", |h| h.fadt.fields = Fields::Wide).ends(Shutdown::PowerOff),
    case("power::second_register_powers_off", |h| {
        (h.fadt.pm1a, h.fadt.pm1b) = (0x5000, 0x604);
    })
    .ends(Shutdown::PowerOff),
    case("power::s5_of_an_ssdt_powers_off", |h| {
        h.dsdt = &[];
        h.more.push(tables::table(b"SSDT", 2, b"\x08ABCD\x0a\x01"));
        h.more.push(tables::table(b"SSDT", 2, tables::S5));
    })
    .ends(Shutdown::PowerOff),
    // The upper byte of q35's control register acts as a sleep control register. QEMU 7.2 ignores writes of that byte alone.
    case("power::sleep_control_powers_off", |h| {
        (h.fadt.flags, h.fadt.sleep_control) = (tables::HARDWARE_REDUCED, 0x605);
        (h.fadt.pm1a, h.fadt.timer) = (0, 0);
    })
    .on_newer_qemu()
    .ends(Shutdown::PowerOff),
    case("power::without_s5_the_reset_register_resets", |h| {
        h.dsdt = &[];
        h.fadt.flags |= tables::RESET_REGISTER;
        h.fadt.reset = (0xcf9, 6);
    })
    .ends(Shutdown::Reset),
    case("power::without_tables_the_machine_resets", |h| h.root = None)
        .online(1)
        .warns(&[&["no root pointer found"]])
        .ends(Shutdown::Reset),
    // Timers.
    case("fadt_of_116_bytes::all_is_used", |h| h.fadt.len_bytes = 116),
    case("fadt_with_new_fields::all_is_used", |h| h.fadt.fields = Fields::Wide),
    case("no_timers::are_reported_once", |h| (h.fadt.timer, h.has_hpet) = (0, false))
        .on(&["-machine", "pit=off,hpet=off"])
        .warns(&[&["timer"]]),
    case("timer_that_does_not_count::another_timer_is_used", |h| h.fadt.timer = 0x5608),
    // Interrupt controllers.
    case("no_io_apic::all_cpus_come_online", |h| h.madt.retain(|entry| entry[0] != 1)),
    case("io_apic_twice::all_cpus_come_online", |h| h.madt.push(tables::io_apic(0, 0xfec0_0000, 0))),
    case("impossible_overrides::all_cpus_come_online", |h| {
        h.madt.extend([
            tables::interrupt_override(0, 4, 0xffff_0000, 0),
            tables::interrupt_override(7, 4, 4, 0xffff),
            tables::interrupt_override(0, 200, 4, 0),
        ]);
    }),
    // Machines before ACPI.
    case("mp_tables_in_ebda::name_the_cpus", |h| {
        h.set_ebda();
        h.root = None;
        h.blobs.extend(mp::blobs(EBDA_AT + 0x10, mp_table()));
    }),
    case("mp_tables_in_bios_memory::name_the_cpus", |h| {
        h.open_bios_memory();
        h.root = None;
        h.blobs.extend(mp::blobs(0xf_5a70, mp_table()));
    }),
    case("mp_tables_beside_acpi::are_not_needed", |h| {
        h.set_ebda();
        h.blobs.extend(mp::blobs(EBDA_AT + 0x10, mp::table(&[mp::processor(0, 3), mp::processor(9, 1)])));
    }),
];

/// Address of q35's screen memory.
const SCREEN_AT: u64 = 0xfd00_0000;

/// Returns the tag of this kind.
fn find(list: &mut [Tag], kind: u32) -> &mut Tag {
    list.iter_mut().find(|tag| tag.kind == kind).expect("sound tags have one of each kind")
}

fn add_x2apic(handover: &mut Handover, count: usize, id: u32) {
    handover.madt.extend((0..count).map(|_| local_x2apic(id, 1)));
}

/// Returns a table with the boot CPU, a second CPU, and the interrupts that the kernel uses.
fn mp_table() -> Vec<u8> {
    let mut entries = vec![
        mp::processor(0, 3),
        mp::processor(1, 1),
        mp::isa_bus(),
        mp::io_apic(2, 0xfec0_0000),
        mp::isa_interrupt(0, 2, 2),
    ];
    entries.extend((3..16).map(|irq| mp::isa_interrupt(irq, 2, irq)));
    mp::table(&entries)
}

/// A map of twice `pairs` entries and a few more. The largest one comes last, before those of the tables.
fn long_map(handover: &mut Handover, pairs: u64) {
    const PAGE: u64 = 0x1000;
    const MIB: u64 = 1 << 20;
    let tables = handover.map.iter().position(|range| range.kind == Kind::Acpi).expect("q35 has tables");
    let high = handover.map.split_off(tables);
    let memory = handover.map.pop().expect("the range before the tables");
    let last = 32 * MIB;
    let first = last - 2 * pairs * PAGE;
    handover.map.push(range(memory.start, first - memory.start, Kind::Usable));
    for pair in 0..pairs {
        let start = first + 2 * pair * PAGE;
        handover.map.push(range(start, PAGE, Kind::Usable));
        handover.map.push(range(start + PAGE, PAGE, Kind::Reserved));
    }
    handover.map.push(range(last, memory.start + memory.len_bytes - last, Kind::Usable));
    handover.map.extend(high);
}

/// Returns the trials, one for each case.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let trial = |case: &'static Case| {
        let lab = if case.is_newer { lab.with_x2apic() } else { Ok(lab.clone()) };
        Trial::ignorable_test(format!("firmware::{}", case.name), move || match &lab {
            Ok(lab) => judge(lab, case).map(|()| Completion::Completed),
            Err(reason) => Ok(Completion::ignored_with(reason)),
        })
    };
    CASES.iter().map(trial).collect()
}

fn judge(lab: &Lab, case: &Case) -> Result<(), Failed> {
    let shape = Shape {
        memory_mib: MEMORY_MIB,
        exit_device: case.ends == Ends::ByVerdict,
        extra: case.extra,
        ..SMP2
    };
    let mut handover = Handover::of_q35();
    (case.change)(&mut handover);
    let evidence = lab.boot_handover(&shape, &handover)?;
    match case.ends {
        Ends::ByVerdict => expect_verdict(&evidence, Verdict::Pass)?,
        Ends::By(shutdown) => ensure_shut_down(&evidence, shutdown)?,
    }
    let (_, online) = cpus(&evidence)?;
    ensure(&evidence, online == case.online, format_args!("{online} CPUs are online, not {}", case.online))?;
    ensure_memory(&evidence, handover.usable_bytes(), case.lost_bytes)?;
    let reported = warnings(&evidence);
    let is_reported =
        |parts: &&[&str]| reported.iter().any(|reported| parts.iter().all(|part| reported.contains(part)));
    let missing: Vec<_> = case.warnings.iter().filter(|parts| !is_reported(parts)).collect();
    ensure(&evidence, missing.is_empty(), format_args!("no warning contains {missing:?}: {reported:?}"))?;
    let (count, expected) = (reported.len(), case.warnings.len());
    ensure(&evidence, count == expected, format_args!("{count} warnings, not {expected}: {reported:?}"))
}

/// Fails unless the kernel passed, and QEMU ended for the reason `shutdown`.
pub(super) fn ensure_shut_down(evidence: &Evidence, shutdown: Shutdown) -> Result<(), Failed> {
    let passed = matches!(evidence.records().last(), Some(Record::End { status: Status::Pass, .. }));
    ensure(evidence, passed, "the last record is not the end of a run that passed")?;
    let is_off = matches!(evidence.run.ending, Ending::NoVerdict(Some(0)));
    ensure(evidence, is_off, "the machine did not end")?;
    let reported = evidence.run.shutdown;
    ensure(
        evidence,
        reported == Some(shutdown),
        format_args!("the machine ended by {reported:?}, not {shutdown:?}"),
    )
}

/// Fails unless the kernel uses the map's usable memory, except for at most `lost_bytes`, and no more.
pub(super) fn ensure_memory(evidence: &Evidence, usable_bytes: u64, lost_bytes: u64) -> Result<(), Failed> {
    let reported = evidence.records().iter().find_map(|record| match record {
        Record::Boot { memory_bytes, .. } => Some(*memory_bytes),
        _ => None,
    });
    let is_all =
        reported.is_some_and(|reported| reported <= usable_bytes && reported + lost_bytes >= usable_bytes);
    ensure(evidence, is_all, format_args!("{reported:?} bytes of memory are used, of {usable_bytes}"))
}
