//! The kinds of parameter, and the trait through which the registry sees them.

use core::fmt::{self, Display};
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use crate::size::{Bytes, parse_size};

/// Most elements that a [`ListParam`] holds.
pub const LIST_CAPACITY: usize = 32;
/// Most bytes that a [`TextParam`] holds.
pub const TEXT_CAPACITY: usize = 120;

/// One parameter, as the registry sees it.
pub trait Param: Sync {
    /// The dotted name.
    fn name(&self) -> &'static str;
    /// One sentence: what it does.
    fn help(&self) -> &'static str;
    /// Parses `value`, checks it and stores it; on error the old value stays.
    fn set(&self, value: &str) -> Result<(), NotAllowed>;
    /// Writes the current value, in a form that [`set`](Param::set) takes.
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Writes the default value.
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Writes what is allowed, such as `0..=256` or `on|off`.
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// The value was not among those allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAllowed;

/// Why a `name=value` could not be applied. Displays as one line with the
/// name, the value and what would be right.
#[derive(Clone, Copy)]
pub enum SetError<'a> {
    /// No parameter has this name.
    Unknown {
        /// The name as given.
        name: &'a str,
        /// A registered name that looks like it.
        similar: Option<&'static str>,
    },
    /// The value does not fit the parameter.
    BadValue {
        /// The parameter.
        param: &'static dyn Param,
        /// The value as given.
        value: &'a str,
    },
    /// The parameter was read on the way up and is of no use any more.
    AtBootOnly {
        /// The parameter.
        param: &'static dyn Param,
        /// The value as given.
        value: &'a str,
    },
}

impl Display for SetError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Unknown { name, similar: Some(similar) } => {
                write!(f, "unknown parameter `{name}`; did you mean `{similar}`?")
            }
            SetError::Unknown { name, similar: None } => write!(f, "unknown parameter `{name}`"),
            SetError::BadValue { param, value } => {
                write!(f, "parameter {}: `{value}` is not allowed; allowed is ", param.name())?;
                param.write_allowed(f)?;
                write!(f, "; it stays ")?;
                param.write_value(f)
            }
            SetError::AtBootOnly { param, value } => {
                let name = param.name();
                write!(
                    f,
                    "parameter {name} is only read at boot; put {name}={value} on the command line; it stays "
                )?;
                param.write_value(f)
            }
        }
    }
}

impl fmt::Debug for SetError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetError({self})")
    }
}

/// `on` or `off` (also `true`, `false`, `1`, `0`).
pub struct BoolParam {
    name: &'static str,
    help: &'static str,
    default: bool,
    value: AtomicBool,
}

impl BoolParam {
    /// A parameter that starts as `default`.
    pub const fn new(name: &'static str, default: bool, help: &'static str) -> Self {
        Self { name, help, default, value: AtomicBool::new(default) }
    }

    /// The value now.
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

/// A whole number within a range.
pub struct U64Param {
    name: &'static str,
    help: &'static str,
    default: u64,
    allowed: RangeInclusive<u64>,
    value: AtomicU64,
}

impl U64Param {
    /// A parameter that starts as `default` and stays within `allowed`.
    pub const fn new(
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        assert!(*allowed.start() <= default && default <= *allowed.end());
        Self { name, help, default, allowed, value: AtomicU64::new(default) }
    }

    /// The value now.
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

/// A whole number within a range, or `none`, which it starts as.
pub struct OptionParam {
    name: &'static str,
    help: &'static str,
    allowed: RangeInclusive<u64>,
    /// [`OptionParam::NONE`] for `none`.
    value: AtomicU64,
}

impl OptionParam {
    const NONE: u64 = u64::MAX;

    /// A parameter that starts as `none` and stays within `allowed`, whose end
    /// is below the largest `u64`.
    pub const fn new(name: &'static str, allowed: RangeInclusive<u64>, help: &'static str) -> Self {
        assert!(*allowed.start() <= *allowed.end() && *allowed.end() < Self::NONE);
        Self { name, help, allowed, value: AtomicU64::new(Self::NONE) }
    }

    /// The value now.
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

/// A size in bytes within a range; see [`parse_size`].
pub struct SizeParam(U64Param);

impl SizeParam {
    /// A parameter that starts as `default` bytes and stays within `allowed`.
    pub const fn new(
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        Self(U64Param::new(name, default, allowed, help))
    }

    /// The value now, in bytes.
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

/// One of a few words.
pub struct ChoiceParam {
    name: &'static str,
    help: &'static str,
    default: usize,
    choices: &'static [&'static str],
    value: AtomicUsize,
}

impl ChoiceParam {
    /// A parameter that starts as `choices[default]`.
    pub const fn new(
        name: &'static str,
        choices: &'static [&'static str],
        default: usize,
        help: &'static str,
    ) -> Self {
        assert!(default < choices.len());
        Self { name, help, default, choices, value: AtomicUsize::new(default) }
    }

    /// The chosen word.
    pub fn get(&self) -> &'static str {
        self.choices[self.get_index()]
    }

    /// The position of the chosen word among the choices.
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

/// A comma-separated list of numbers, each within a range; empty by default.
///
/// Elements are stored one by one, and a reader at the same time could see half of a
/// change: set on the boot command line, and later by the thread that makes use of it, the shell.
pub struct ListParam {
    name: &'static str,
    help: &'static str,
    allowed: RangeInclusive<u32>,
    len: AtomicUsize,
    items: [AtomicU32; LIST_CAPACITY],
}

impl ListParam {
    /// An empty list whose elements will have to be within `allowed`.
    pub const fn new(name: &'static str, allowed: RangeInclusive<u32>, help: &'static str) -> Self {
        Self {
            name,
            help,
            allowed,
            len: AtomicUsize::new(0),
            items: [const { AtomicU32::new(0) }; LIST_CAPACITY],
        }
    }

    /// The elements now, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.items[..self.len.load(SeqCst)].iter().map(|item| item.load(SeqCst))
    }

    fn check(&self, item: &str) -> Result<u32, NotAllowed> {
        item.parse().ok().filter(|item| self.allowed.contains(item)).ok_or(NotAllowed)
    }
}

impl Param for ListParam {
    fn name(&self) -> &'static str {
        self.name
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn set(&self, value: &str) -> Result<(), NotAllowed> {
        let mut parsed = [0; LIST_CAPACITY];
        let mut len = 0;
        for item in value.split(',') {
            *parsed.get_mut(len).ok_or(NotAllowed)? = self.check(item)?;
            len += 1;
        }
        for (slot, item) in self.items.iter().zip(&parsed[..len]) {
            slot.store(*item, SeqCst);
        }
        self.len.store(len, SeqCst);
        Ok(())
    }
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        for (index, item) in self.iter().enumerate() {
            write!(out, "{}{item}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
    fn write_default(&self, _out: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let (low, high) = (self.allowed.start(), self.allowed.end());
        write!(out, "up to {LIST_CAPACITY} numbers {low}..={high} with commas between")
    }
}

/// A short text that `check` accepts.
///
/// Set when nobody else reads it, as [`ListParam`].
pub struct TextParam {
    name: &'static str,
    help: &'static str,
    default: &'static str,
    allowed: &'static str,
    check: fn(&str) -> bool,
    /// `usize::MAX` until set.
    len: AtomicUsize,
    bytes: [AtomicU8; TEXT_CAPACITY],
}

impl TextParam {
    /// A parameter that starts as `default`; `allowed` says in words what
    /// `check` accepts.
    pub const fn new(
        name: &'static str,
        default: &'static str,
        allowed: &'static str,
        check: fn(&str) -> bool,
        help: &'static str,
    ) -> Self {
        let bytes = [const { AtomicU8::new(0) }; TEXT_CAPACITY];
        Self { name, help, default, allowed, check, len: AtomicUsize::new(usize::MAX), bytes }
    }

    /// The text now, copied into `buffer`.
    pub fn get<'a>(&self, buffer: &'a mut [u8; TEXT_CAPACITY]) -> &'a str {
        let len = self.len.load(SeqCst);
        if len == usize::MAX {
            return self.default;
        }
        for (to, from) in buffer.iter_mut().zip(&self.bytes[..len]) {
            *to = from.load(SeqCst);
        }
        // Only whole `str`s are stored; the fallback is for a torn read.
        core::str::from_utf8(&buffer[..len]).unwrap_or(self.default)
    }
}

impl Param for TextParam {
    fn name(&self) -> &'static str {
        self.name
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn set(&self, value: &str) -> Result<(), NotAllowed> {
        if value.len() > TEXT_CAPACITY || !(self.check)(value) {
            return Err(NotAllowed);
        }
        for (slot, byte) in self.bytes.iter().zip(value.bytes()) {
            slot.store(byte, SeqCst);
        }
        self.len.store(value.len(), SeqCst);
        Ok(())
    }
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.get(&mut [0; TEXT_CAPACITY]))
    }
    fn write_default(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.default)
    }
    fn write_allowed(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.allowed)
    }
}
