//! Invalid fields of the FADT.

use core::fmt;

/// A field of the table, as the specification names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    SmiCmd,
    Pm1aEvt,
    Pm1bEvt,
    Pm1aCnt,
    Pm1bCnt,
    PmTmr,
    Gpe0,
    Pm1EvtLen,
    Reset,
    XPm1aEvt,
    XPm1bEvt,
    XPm1aCnt,
    XPm1bCnt,
    XPmTmr,
    XGpe0,
    SleepControl,
    SleepStatus,
}

const FIELD_NAMES: [&str; 17] = [
    "SMI_CMD",
    "PM1a_EVT_BLK",
    "PM1b_EVT_BLK",
    "PM1a_CNT_BLK",
    "PM1b_CNT_BLK",
    "PM_TMR_BLK",
    "GPE0_BLK",
    "PM1_EVT_LEN",
    "RESET_REG",
    "X_PM1a_EVT_BLK",
    "X_PM1b_EVT_BLK",
    "X_PM1a_CNT_BLK",
    "X_PM1b_CNT_BLK",
    "X_PM_TMR_BLK",
    "X_GPE0_BLK",
    "SLEEP_CONTROL_REG",
    "SLEEP_STATUS_REG",
];

/// Refused fields. `Display` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    fields: u32,
}

impl Refused {
    pub(super) fn add(&mut self, field: Field) {
        self.fields |= 1 << field as u32;
    }

    /// Returns whether no field was refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// Returns the names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let fields = self.fields;
        FIELD_NAMES.iter().enumerate().filter(move |(bit, _)| fields & 1 << bit != 0).map(|(_, name)| *name)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
