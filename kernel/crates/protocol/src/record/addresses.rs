//! A bounded list of code addresses.

use core::fmt::Write;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

/// Up to [`Addresses::CAPACITY`] code addresses, innermost first.
///
/// In JSON, addresses are strings such as `0xffffffff80001234`: many parsers read numbers as doubles, which cannot represent a
/// kernel address exactly. Addresses beyond the capacity are dropped; the innermost ones matter most.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    list: [u64; Self::CAPACITY],
    len: usize,
}

impl Addresses {
    /// Most addresses in the list.
    pub const CAPACITY: usize = 32;

    /// Returns an empty list.
    pub const fn new() -> Self {
        Self { list: [0; Self::CAPACITY], len: 0 }
    }

    /// Appends `address`. Returns whether it fitted.
    pub fn push(&mut self, address: u64) -> bool {
        match self.list.get_mut(self.len) {
            Some(slot) => {
                *slot = address;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// Returns the addresses.
    pub fn as_slice(&self) -> &[u64] {
        &self.list[..self.len]
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<u64> for Addresses {
    fn from_iter<I: IntoIterator<Item = u64>>(addresses: I) -> Self {
        let mut list = Self::new();
        for address in addresses {
            if !list.push(address) {
                break;
            }
        }
        list
    }
}

impl core::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut list = f.debug_list();
        for address in self.as_slice() {
            list.entry(&format_args!("{address:#x}"));
        }
        list.finish()
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len))?;
        for &address in self.as_slice() {
            list.serialize_element(Hex::new(address).as_str())?;
        }
        list.end()
    }
}

/// An address in hexadecimal, in a buffer that is just large enough.
struct Hex {
    text: [u8; Self::MAX_BYTES],
    len: usize,
}

impl Hex {
    const MAX_BYTES: usize = "0xffffffffffffffff".len();

    fn new(address: u64) -> Self {
        let mut hex = Self { text: [0; Self::MAX_BYTES], len: 0 };
        write!(hex, "{address:#x}").expect("the buffer holds the longest 64-bit number");
        hex
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.text[..self.len]).expect("hexadecimal digits are ASCII")
    }
}

impl Write for Hex {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        self.text.get_mut(self.len..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(feature = "std")]
impl<'de> serde::Deserialize<'de> for Addresses {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let texts = std::vec::Vec::<std::string::String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| {
                text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or_else(
                    || {
                        D::Error::custom(format_args!(
                            "address {text:?} is not of the form 0x followed by up to 16 hexadecimal digits"
                        ))
                    },
                )
            })
            .collect()
    }
}
