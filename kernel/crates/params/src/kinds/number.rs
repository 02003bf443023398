//! Parameters that are a number within a range.

use core::fmt;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::param::{NotAllowed, Param};
use crate::size::{Bytes, parse_size};

/// A parameter that is a whole number within a range.
pub struct U64Param {
    name: &'static str,
    help: &'static str,
    default: u64,
    allowed: RangeInclusive<u64>,
    value: AtomicU64,
}

impl U64Param {
    /// Returns a parameter that starts as `default` and stays within `allowed`.
    pub const fn new(
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        assert!(*allowed.start() <= default && default <= *allowed.end());
        Self { name, help, default, allowed, value: AtomicU64::new(default) }
    }

    /// Returns the current value.
    pub fn get(&self) -> u64 {
        self.value.load(SeqCst)
    }
}

impl Param for U64Param {
    fn name(&self) -> &'static str {
        self.name
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn set(&self, value: &str) -> Result<(), NotAllowed> {
        let value = value.parse().map_err(|_| NotAllowed)?;
        if !self.allowed.contains(&value) {
            return Err(NotAllowed);
        }
        self.value.store(value, SeqCst);
        Ok(())
    }
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", self.get())
    }
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", self.default)
    }
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}..={}", self.allowed.start(), self.allowed.end())
    }
}

/// A parameter that is `none`, its default, or a whole number within a range.
pub struct OptionParam {
    name: &'static str,
    help: &'static str,
    allowed: RangeInclusive<u64>,
    /// [`OptionParam::NONE`] for `none`.
    value: AtomicU64,
}

impl OptionParam {
    const NONE: u64 = u64::MAX;

    /// Returns a parameter that starts as `none` and stays within `allowed`, whose end
    /// is below `u64::MAX`.
    pub const fn new(name: &'static str, allowed: RangeInclusive<u64>, help: &'static str) -> Self {
        assert!(*allowed.start() <= *allowed.end() && *allowed.end() < Self::NONE);
        Self { name, help, allowed, value: AtomicU64::new(Self::NONE) }
    }

    /// Returns the current value.
    pub fn get(&self) -> Option<u64> {
        Some(self.value.load(SeqCst)).filter(|value| *value != Self::NONE)
    }
}

impl Param for OptionParam {
    fn name(&self) -> &'static str {
        self.name
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn set(&self, value: &str) -> Result<(), NotAllowed> {
        let value = match value {
            "none" => Self::NONE,
            number => number.parse().ok().filter(|value| self.allowed.contains(value)).ok_or(NotAllowed)?,
        };
        self.value.store(value, SeqCst);
        Ok(())
    }
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        match self.get() {
            Some(value) => write!(out, "{value}"),
            None => out.write_str("none"),
        }
    }
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("none")
    }
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "none|{}..={}", self.allowed.start(), self.allowed.end())
    }
}

/// A parameter that is a size in bytes within a range; see [`parse_size`].
pub struct SizeParam(U64Param);

impl SizeParam {
    /// Returns a parameter that starts as `default` bytes and stays within `allowed`.
    pub const fn new(
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        Self(U64Param::new(name, default, allowed, help))
    }

    /// Returns the current value in bytes.
    pub fn get_bytes(&self) -> u64 {
        self.0.get()
    }
}

impl Param for SizeParam {
    fn name(&self) -> &'static str {
        self.0.name
    }
    fn help(&self) -> &'static str {
        self.0.help
    }
    fn set(&self, value: &str) -> Result<(), NotAllowed> {
        let bytes = parse_size(value).filter(|bytes| self.0.allowed.contains(bytes)).ok_or(NotAllowed)?;
        self.0.value.store(bytes, SeqCst);
        Ok(())
    }
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", Bytes(self.get_bytes()))
    }
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", Bytes(self.0.default))
    }
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}..={}", Bytes(*self.0.allowed.start()), Bytes(*self.0.allowed.end()))
    }
}
