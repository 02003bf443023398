//! Parameters of variable length: lists and texts.

use core::fmt;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering::SeqCst};

use crate::param::{NotAllowed, Param};

/// Most elements that a [`ListParam`] holds.
pub const LIST_CAPACITY: usize = 32;
/// Most bytes that a [`TextParam`] holds.
pub const TEXT_CAPACITY: usize = 120;

/// A parameter that is a comma-separated list of numbers, each within a range; empty by default.
///
/// Elements are stored one by one, so a concurrent reader could see half of a change. There is none: the boot command line
/// sets lists, and later the shell's thread, which also reads them.
pub struct ListParam {
    name: &'static str,
    help: &'static str,
    allowed: RangeInclusive<u32>,
    len: AtomicUsize,
    items: [AtomicU32; LIST_CAPACITY],
}

impl ListParam {
    /// Returns an empty list whose elements must be within `allowed`.
    pub const fn new(name: &'static str, allowed: RangeInclusive<u32>, help: &'static str) -> Self {
        Self {
            name,
            help,
            allowed,
            len: AtomicUsize::new(0),
            items: [const { AtomicU32::new(0) }; LIST_CAPACITY],
        }
    }

    /// Returns the current elements in the order in which they were set.
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

/// A parameter that is a short text accepted by `check`.
///
/// Set while no other CPU reads it, as [`ListParam`].
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
    /// Returns a parameter that starts as `default`; `allowed` describes what `check` accepts.
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

    /// Copies the current text into `buffer` and returns it.
    pub fn get<'a>(&self, buffer: &'a mut [u8; TEXT_CAPACITY]) -> &'a str {
        let len = self.len.load(SeqCst);
        if len == usize::MAX {
            return self.default;
        }
        for (to, from) in buffer.iter_mut().zip(&self.bytes[..len]) {
            *to = from.load(SeqCst);
        }
        // Valid UTF-8 is stored; the fallback is for a torn read.
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
