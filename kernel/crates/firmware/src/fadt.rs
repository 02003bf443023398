//! The fixed ACPI description table (FADT): registers of the fixed hardware.
//!
//! All tables from ACPI 1.0 (116 bytes) to 6.5 (276 bytes) have the same layout; newer ones add fields at the end. A field
//! beyond the table's end reads as zero, which means "absent" for each of them. A 64-bit field (`X_...`) wins over the
//! 32-bit field of the same register if it is non-zero and valid.
//!
//! An invalid field is refused alone; [`Refused`] names all refused fields. Layouts are those of the ACPI specification
//! 6.5: 5.2.3.2 (generic address), 5.2.9 (FADT), 4.8.3 (fixed hardware registers).

mod refused;

pub use refused::Refused;

use refused::Field;

use crate::PAGE_BYTES;
use crate::acpi::{SDT_HEADER_BYTES, TableError, array_at, check_sdt, sized_part};
use crate::layout::fadt;
use crate::memmap::MemoryMap;
use crate::registers::{Register, Space};

const PM1A_EVT: Block = block((fadt::PM1A_EVT, Field::Pm1aEvt), (fadt::X_PM1A_EVT, Field::XPm1aEvt));
const PM1B_EVT: Block = block((fadt::PM1B_EVT, Field::Pm1bEvt), (fadt::X_PM1B_EVT, Field::XPm1bEvt));
const PM1A_CNT: Block = block((fadt::PM1A_CNT, Field::Pm1aCnt), (fadt::X_PM1A_CNT, Field::XPm1aCnt));
const PM1B_CNT: Block = block((fadt::PM1B_CNT, Field::Pm1bCnt), (fadt::X_PM1B_CNT, Field::XPm1bCnt));
const PM_TMR: Block = block((fadt::PM_TMR, Field::PmTmr), (fadt::X_PM_TMR, Field::XPmTmr));
const GPE0: Block = block((fadt::GPE0, Field::Gpe0), (fadt::X_GPE0, Field::XGpe0));

const fn block((old, old_name): (usize, Field), (new, new_name): (usize, Field)) -> Block {
    Block { old, new, old_name, new_name }
}

/// In [`fadt::FLAGS`]: the power button is not fixed hardware.
const PWR_BUTTON: u32 = 1 << 4;
/// In [`fadt::FLAGS`]: the sleep button is not fixed hardware.
const SLP_BUTTON: u32 = 1 << 5;
const TMR_VAL_EXT: u32 = 1 << 8;
const RESET_REG_SUP: u32 = 1 << 10;
const HW_REDUCED_ACPI: u32 = 1 << 20;

/// Bytes of the PM1 control register.
const PM1_CONTROL_BYTES: u8 = 2;
/// Bytes of a PM1 event block, status and enable, if the table has no length.
const PM1_EVENT_BYTES: u8 = 4;
/// Most bytes of a PM1 status or enable register.
const PM1_EVENT_MOST_BYTES: u8 = 4;

/// Ports of other devices of every PC: interrupt controllers, PIT, serial ports. The second number is the first port after
/// them.
const FOREIGN_PORTS: [(u64, u64); 5] =
    [(0x20, 0x22), (0x40, 0x44), (0xa0, 0xa2), (0x2f8, 0x300), (0x3f8, 0x400)];

/// Status and enable registers: an event sets a bit of the first; the same bit of the second makes it an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBlock {
    /// Pending events; writing a one clears.
    pub status: Register,
    /// Enabled events.
    pub enable: Register,
}

/// The general-purpose events 0 to 8 * `bytes` - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpeBlock {
    /// The first byte of the status registers; as many enable registers follow.
    pub first: Register,
    /// Status registers, a byte each: 1 to 32.
    pub bytes: u8,
}

impl GpeBlock {
    /// Returns the status and enable registers number `index`, for eight events.
    #[must_use]
    pub fn pair(&self, index: u8) -> EventBlock {
        let at =
            |offset: u8| Register::new(self.first.space, self.first.address.saturating_add(offset.into()), 1);
        EventBlock { status: at(index), enable: at(self.bytes + index) }
    }
}

/// Command that switches ACPI mode on: a value to write to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmiCommand {
    /// The port.
    pub port: u16,
    /// The value.
    pub enable: u8,
}

/// The PM timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// Its register.
    pub register: Register,
    /// Whether it counts 32 bits instead of 24.
    pub is_32_bit: bool,
}

/// Content of a FADT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fadt {
    /// Addresses of the DSDT: first the 64-bit field's, then the other's if it differs.
    pub dsdt: [Option<u64>; 2],
    /// Whether there is no fixed hardware except the PM timer, which hypervisors have nevertheless. If so, only `dsdt`,
    /// `pm_timer`, `reset`, `sleep_control` and `sleep_status` are set.
    pub is_hardware_reduced: bool,
    /// The system control interrupt, as an ISA interrupt's number.
    pub sci: Option<u16>,
    /// Command that switches ACPI mode on; `None` if it is always on.
    pub smi: Option<SmiCommand>,
    /// Event blocks PM1a and PM1b.
    pub pm1_events: [Option<EventBlock>; 2],
    /// Control registers PM1a and PM1b.
    pub pm1_controls: [Option<Register>; 2],
    /// The PM timer.
    pub pm_timer: Option<PmTimer>,
    /// The first block of general-purpose events.
    pub gpe0: Option<GpeBlock>,
    /// Whether the power button is fixed hardware.
    pub has_power_button: bool,
    /// Whether the sleep button is fixed hardware.
    pub has_sleep_button: bool,
    /// Register and value that reset the machine.
    pub reset: Option<(Register, u8)>,
    /// The sleep control register of machines without fixed hardware.
    pub sleep_control: Option<Register>,
    /// The sleep status register of machines without fixed hardware.
    pub sleep_status: Option<Register>,
}

/// Reads a FADT of any revision. Registers that cannot be at their address, by `map` among others, are left out and named
/// in [`Refused`].
///
/// `bytes` begins with the table and may be longer.
///
/// # Errors
/// When the table is damaged.
pub fn parse(bytes: &[u8], map: &MemoryMap) -> Result<(Fadt, Refused), TableError> {
    let length = check_sdt(bytes, Some(*b"FACP"))?.length;
    let table = sized_part(bytes, length, SDT_HEADER_BYTES)?;
    let mut reader = Reader { table, map, refused: Refused::default() };
    let fadt = reader.read();
    Ok((fadt, reader.refused))
}

/// A register block with a 32-bit field and a 64-bit field.
struct Block {
    old: usize,
    new: usize,
    old_name: Field,
    new_name: Field,
}

struct Reader<'a> {
    table: &'a [u8],
    map: &'a MemoryMap,
    refused: Refused,
}

impl Reader<'_> {
    fn read(&mut self) -> Fadt {
        let flags = self.u32(fadt::FLAGS);
        let is_hardware_reduced = flags & HW_REDUCED_ACPI != 0;
        let (x_dsdt, dsdt) = (self.u64(fadt::X_DSDT), u64::from(self.u32(fadt::DSDT)));
        let some = |address: u64| (address != 0).then_some(address);
        let fadt = Fadt {
            dsdt: [some(x_dsdt), some(dsdt).filter(|dsdt| *dsdt != x_dsdt)],
            is_hardware_reduced,
            reset: self.reset(flags),
            sleep_control: self.generic_register(fadt::SLEEP_CONTROL_REG, 1, Field::SleepControl),
            sleep_status: self.generic_register(fadt::SLEEP_STATUS_REG, 1, Field::SleepStatus),
            pm_timer: self.register(&PM_TMR, 4).map(|register| PmTimer {
                // A counter is read in one access: parts would be of different times.
                register: Register { access_bytes: 4, ..register },
                is_32_bit: flags & TMR_VAL_EXT != 0,
            }),
            ..Fadt::default()
        };
        if is_hardware_reduced {
            return fadt;
        }
        Fadt {
            sci: Some(self.u16(fadt::SCI_INT)).filter(|sci| *sci != 0),
            smi: self.smi(),
            pm1_events: [self.pm1_event(&PM1A_EVT), self.pm1_event(&PM1B_EVT)],
            pm1_controls: [
                self.register(&PM1A_CNT, PM1_CONTROL_BYTES),
                self.register(&PM1B_CNT, PM1_CONTROL_BYTES),
            ],
            gpe0: self.gpe(),
            has_power_button: flags & PWR_BUTTON == 0,
            has_sleep_button: flags & SLP_BUTTON == 0,
            ..fadt
        }
    }

    fn reset(&mut self, flags: u32) -> Option<(Register, u8)> {
        if flags & RESET_REG_SUP == 0 {
            return None;
        }
        let register = self.generic_register(fadt::RESET_REG, 1, Field::Reset)?;
        Some((register, self.bytes::<1>(fadt::RESET_VALUE)[0]))
    }

    fn smi(&mut self) -> Option<SmiCommand> {
        let (port, enable) = (self.u32(fadt::SMI_CMD), self.bytes::<1>(fadt::ACPI_ENABLE)[0]);
        if port == 0 || enable == 0 {
            return None;
        }
        self.possible(Register::new(Space::Port, port.into(), 1), Field::SmiCmd)?;
        Some(SmiCommand { port: port as u16, enable })
    }

    fn pm1_event(&mut self, block: &Block) -> Option<EventBlock> {
        let length = self.bytes::<1>(fadt::PM1_EVT_LEN)[0];
        let bytes = if length == 0 { PM1_EVENT_BYTES } else { length };
        let half = bytes / 2;
        if !half.is_power_of_two() || !bytes.is_multiple_of(2) || half == 1 || half > PM1_EVENT_MOST_BYTES {
            if self.u32(block.old) != 0 || self.u64(block.new + 4) != 0 {
                self.refused.add(Field::Pm1EvtLen);
            }
            return None;
        }
        let status = self.register(block, half)?;
        let enable = Register { address: status.address + u64::from(half), ..status };
        let enable = self.possible(enable, block.old_name)?;
        Some(EventBlock { status, enable })
    }

    fn gpe(&mut self) -> Option<GpeBlock> {
        const MOST_BYTES: u8 = 32;
        let bytes = self.bytes::<1>(fadt::GPE0_LEN)[0] / 2;
        if bytes == 0 {
            return None;
        }
        let first = self.register(&GPE0, 1)?;
        let block = GpeBlock { first, bytes };
        let last = block.pair(bytes.min(MOST_BYTES) - 1).enable;
        let is_in_one_page =
            first.space != Space::Memory || first.address / PAGE_BYTES == last.address / PAGE_BYTES;
        if bytes > MOST_BYTES || !is_in_one_page {
            self.refused.add(Field::Gpe0);
            return None;
        }
        self.possible(last, Field::Gpe0).map(|_| block)
    }

    /// Returns the register of `block`: by the 64-bit field, else by the 32-bit one.
    fn register(&mut self, block: &Block, bytes: u8) -> Option<Register> {
        self.generic_register(block.new, bytes, block.new_name).or_else(|| {
            let address = self.u32(block.old);
            let register = Register::new(Space::Port, address.into(), bytes);
            if address == 0 { None } else { self.possible(register, block.old_name) }
        })
    }

    /// Returns the register that the generic address at `offset` names.
    fn generic_register(&mut self, offset: usize, bytes: u8, name: Field) -> Option<Register> {
        let [space, _bit_width, bit_offset, access] = self.bytes::<4>(offset);
        let address = self.u64(offset + 4);
        if address == 0 {
            return None;
        }
        let space = match space {
            0 => Space::Memory,
            1 => Space::Port,
            2 => Space::PciConfig,
            _ => return self.refuse(name),
        };
        // 0, "undefined", means the whole register. 4 means 64 bits, more than any register here has.
        let access_bytes = match access {
            0 | 4 => bytes,
            1..=3 => bytes.min(1 << (access - 1)),
            _ => return self.refuse(name),
        };
        if bit_offset != 0 {
            return self.refuse(name);
        }
        self.possible(Register { space, address, bytes, access_bytes }, name)
    }

    /// Returns `register` if it can be at its address and belongs to no other device.
    fn possible(&mut self, register: Register, name: Field) -> Option<Register> {
        let end = register.address.saturating_add(register.bytes.into());
        let is_foreign = register.space == Space::Port
            && FOREIGN_PORTS.iter().any(|(first, last)| *first < end && register.address < *last);
        let is_aligned = register.address.is_multiple_of(register.access_bytes.into());
        let needs_alignment = register.space != Space::Port;
        if is_foreign || needs_alignment && !is_aligned || !register.is_possible(self.map) {
            return self.refuse(name);
        }
        Some(register)
    }

    fn refuse<T>(&mut self, name: Field) -> Option<T> {
        self.refused.add(name);
        None
    }

    /// Returns `N` bytes at `offset`; zeros beyond the table's end.
    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        if offset + N <= self.table.len() { array_at(self.table, offset) } else { [0; N] }
    }

    fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.bytes(offset))
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.bytes(offset))
    }
}
