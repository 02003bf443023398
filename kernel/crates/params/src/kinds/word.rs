//! Parameters that are one of a few words.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::param::{NotAllowed, Param};

/// A parameter that is `on` or `off` (also `true`, `false`, `1`, `0`).
pub struct BoolParam {
    name: &'static str,
    help: &'static str,
    default: bool,
    value: AtomicBool,
}

impl BoolParam {
    /// Returns a parameter that starts as `default`.
    pub const fn new(name: &'static str, default: bool, help: &'static str) -> Self {
        Self { name, help, default, value: AtomicBool::new(default) }
    }

    /// Returns the current value.
    pub fn get(&self) -> bool {
        self.value.load(SeqCst)
    }
}

fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

impl Param for BoolParam {
    fn name(&self) -> &'static str {
        self.name
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn set(&self, value: &str) -> Result<(), NotAllowed> {
        let value = match value {
            "on" | "true" | "1" => true,
            "off" | "false" | "0" => false,
            _ => return Err(NotAllowed),
        };
        self.value.store(value, SeqCst);
        Ok(())
    }
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(on_off(self.get()))
    }
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(on_off(self.default))
    }
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("on|off")
    }
}

/// A parameter that is one of a few words.
pub struct ChoiceParam {
    name: &'static str,
    help: &'static str,
    default: usize,
    choices: &'static [&'static str],
    value: AtomicUsize,
}

impl ChoiceParam {
    /// Returns a parameter that starts as `choices[default]`.
    pub const fn new(
        name: &'static str,
        choices: &'static [&'static str],
        default: usize,
        help: &'static str,
    ) -> Self {
        assert!(default < choices.len());
        Self { name, help, default, choices, value: AtomicUsize::new(default) }
    }

    /// Returns the chosen word.
    pub fn get(&self) -> &'static str {
        self.choices[self.get_index()]
    }

    /// Returns the position of the chosen word among the choices.
    pub fn get_index(&self) -> usize {
        self.value.load(SeqCst)
    }
}

impl Param for ChoiceParam {
    fn name(&self) -> &'static str {
        self.name
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn set(&self, value: &str) -> Result<(), NotAllowed> {
        let index = self.choices.iter().position(|choice| *choice == value).ok_or(NotAllowed)?;
        self.value.store(index, SeqCst);
        Ok(())
    }
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.get())
    }
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.choices[self.default])
    }
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        for (index, choice) in self.choices.iter().enumerate() {
            write!(out, "{}{choice}", if index > 0 { "|" } else { "" })?;
        }
        Ok(())
    }
}
