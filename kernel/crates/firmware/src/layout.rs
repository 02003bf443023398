//! Offsets of the fields that are read in ACPI tables, in bytes.
//!
//! The kernel compares these numbers with the structures of the crate `acpi` when it is compiled.

/// Fixed ACPI description table (FADT): ACPI specification 6.5, 5.2.9.
pub mod fadt {
    /// 32-bit address of the DSDT.
    pub const DSDT: usize = 40;
    /// Interrupt of ACPI events (SCI).
    pub const SCI_INT: usize = 46;
    /// Port of commands to the firmware.
    pub const SMI_CMD: usize = 48;
    /// Command that enters ACPI mode.
    pub const ACPI_ENABLE: usize = 52;
    /// Event registers PM1a.
    pub const PM1A_EVT: usize = 56;
    /// Event registers PM1b.
    pub const PM1B_EVT: usize = 60;
    /// Control register PM1a.
    pub const PM1A_CNT: usize = 64;
    /// Control register PM1b.
    pub const PM1B_CNT: usize = 68;
    /// PM timer.
    pub const PM_TMR: usize = 76;
    /// General-purpose events, block 0.
    pub const GPE0: usize = 80;
    /// Bytes of a PM1 event block.
    pub const PM1_EVT_LEN: usize = 88;
    /// Bytes of block 0 of the general-purpose events.
    pub const GPE0_LEN: usize = 92;
    /// Fixed feature flags.
    pub const FLAGS: usize = 112;
    /// Generic address of the reset register.
    pub const RESET_REG: usize = 116;
    /// Value to write to the reset register.
    pub const RESET_VALUE: usize = 128;
    /// 64-bit address of the DSDT.
    pub const X_DSDT: usize = 140;
    /// Generic address of the event registers PM1a.
    pub const X_PM1A_EVT: usize = 148;
    /// Generic address of the event registers PM1b.
    pub const X_PM1B_EVT: usize = 160;
    /// Generic address of the control register PM1a.
    pub const X_PM1A_CNT: usize = 172;
    /// Generic address of the control register PM1b.
    pub const X_PM1B_CNT: usize = 184;
    /// Generic address of the PM timer.
    pub const X_PM_TMR: usize = 208;
    /// Generic address of block 0 of the general-purpose events.
    pub const X_GPE0: usize = 220;
    /// Generic address of the sleep control register.
    pub const SLEEP_CONTROL_REG: usize = 244;
    /// Generic address of the sleep status register.
    pub const SLEEP_STATUS_REG: usize = 256;
}

/// HPET description table: IA-PC HPET specification 1.0a, 3.2.4.
pub mod hpet {
    /// Generic address of the registers.
    pub const REGISTERS: usize = 40;
    /// Length of the table.
    pub const TABLE_BYTES: usize = 56;
}

/// Multiple APIC description table (MADT) and its entries: ACPI specification 6.5, 5.2.12.
pub mod madt {
    /// Length of the table before its first entry.
    pub const HEADER_BYTES: usize = 44;

    /// Entry of a local APIC: APIC id, 8 bits.
    pub const LOCAL_APIC_ID: usize = 3;
    /// Entry of a local APIC: flags.
    pub const LOCAL_APIC_FLAGS: usize = 4;
    /// Entry of a local x2APIC: x2APIC id, 32 bits.
    pub const X2APIC_ID: usize = 4;
    /// Entry of a local x2APIC: flags.
    pub const X2APIC_FLAGS: usize = 8;
    /// Entry of an I/O APIC: physical address.
    pub const IO_APIC_ADDRESS: usize = 4;
    /// Entry of an I/O APIC: first global system interrupt.
    pub const IO_APIC_FIRST_GSI: usize = 8;
    /// Interrupt source override: bus.
    pub const OVERRIDE_BUS: usize = 2;
    /// Interrupt source override: interrupt on that bus.
    pub const OVERRIDE_IRQ: usize = 3;
    /// Interrupt source override: global system interrupt.
    pub const OVERRIDE_GSI: usize = 4;
    /// Interrupt source override: trigger mode and polarity.
    pub const OVERRIDE_FLAGS: usize = 8;
}
