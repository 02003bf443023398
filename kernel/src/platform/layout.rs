//! The offsets by which the crate `firmware` reads ACPI tables, compared with the structures of the crate `acpi`.
//!
//! Two independent readings of the specification agree, or the kernel does not compile. See decision 0061 for why the
//! tables are not read through those structures.

use core::mem::offset_of;

use acpi::sdt::fadt::Fadt;
use acpi::sdt::hpet::HpetTable;
use acpi::sdt::madt::{InterruptSourceOverrideEntry, IoApicEntry, LocalApicEntry, LocalX2ApicEntry, Madt};
use firmware::layout::{fadt, hpet, madt};

const _: () = {
    assert!(offset_of!(Fadt, dsdt_address) == fadt::DSDT);
    assert!(offset_of!(Fadt, sci_interrupt) == fadt::SCI_INT);
    assert!(offset_of!(Fadt, smi_cmd_port) == fadt::SMI_CMD);
    assert!(offset_of!(Fadt, acpi_enable) == fadt::ACPI_ENABLE);
    assert!(offset_of!(Fadt, pm1a_event_block) == fadt::PM1A_EVT);
    assert!(offset_of!(Fadt, pm1b_event_block) == fadt::PM1B_EVT);
    assert!(offset_of!(Fadt, pm1a_control_block) == fadt::PM1A_CNT);
    assert!(offset_of!(Fadt, pm1b_control_block) == fadt::PM1B_CNT);
    assert!(offset_of!(Fadt, pm_timer_block) == fadt::PM_TMR);
    assert!(offset_of!(Fadt, gpe0_block) == fadt::GPE0);
    assert!(offset_of!(Fadt, pm1_event_length) == fadt::PM1_EVT_LEN);
    assert!(offset_of!(Fadt, gpe0_block_length) == fadt::GPE0_LEN);
    assert!(offset_of!(Fadt, flags) == fadt::FLAGS);
    assert!(offset_of!(Fadt, reset_reg) == fadt::RESET_REG);
    assert!(offset_of!(Fadt, reset_value) == fadt::RESET_VALUE);
    assert!(offset_of!(Fadt, x_dsdt_address) == fadt::X_DSDT);
    assert!(offset_of!(Fadt, x_pm1a_event_block) == fadt::X_PM1A_EVT);
    assert!(offset_of!(Fadt, x_pm1b_event_block) == fadt::X_PM1B_EVT);
    assert!(offset_of!(Fadt, x_pm1a_control_block) == fadt::X_PM1A_CNT);
    assert!(offset_of!(Fadt, x_pm1b_control_block) == fadt::X_PM1B_CNT);
    assert!(offset_of!(Fadt, x_pm_timer_block) == fadt::X_PM_TMR);
    assert!(offset_of!(Fadt, x_gpe0_block) == fadt::X_GPE0);
    assert!(offset_of!(Fadt, sleep_control_reg) == fadt::SLEEP_CONTROL_REG);
    assert!(offset_of!(Fadt, sleep_status_reg) == fadt::SLEEP_STATUS_REG);
};

const _: () = {
    assert!(offset_of!(HpetTable, base_address) == hpet::REGISTERS);
    assert!(size_of::<HpetTable>() == hpet::TABLE_BYTES);
};

const _: () = {
    assert!(size_of::<Madt>() == madt::HEADER_BYTES);
    assert!(offset_of!(LocalApicEntry, apic_id) == madt::LOCAL_APIC_ID);
    assert!(offset_of!(LocalApicEntry, flags) == madt::LOCAL_APIC_FLAGS);
    assert!(offset_of!(LocalX2ApicEntry, x2apic_id) == madt::X2APIC_ID);
    assert!(offset_of!(LocalX2ApicEntry, flags) == madt::X2APIC_FLAGS);
    assert!(offset_of!(IoApicEntry, io_apic_address) == madt::IO_APIC_ADDRESS);
    assert!(offset_of!(IoApicEntry, global_system_interrupt_base) == madt::IO_APIC_FIRST_GSI);
    assert!(offset_of!(InterruptSourceOverrideEntry, bus) == madt::OVERRIDE_BUS);
    assert!(offset_of!(InterruptSourceOverrideEntry, irq) == madt::OVERRIDE_IRQ);
    assert!(offset_of!(InterruptSourceOverrideEntry, global_system_interrupt) == madt::OVERRIDE_GSI);
    assert!(offset_of!(InterruptSourceOverrideEntry, flags) == madt::OVERRIDE_FLAGS);
};
