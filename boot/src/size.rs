//! Sizes of memory as people write them: `512M`, `2G`.

use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Number of bytes.
    pub bytes: u64,
}

/// Suffixes and their values, largest first.
const SUFFIXES: [(char, u64); 4] = [('T', 1 << 40), ('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

impl Size {
    /// Returns a size of `mib` MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self { bytes: mib << 20 }
    }

    /// Returns the number of whole MiB.
    pub const fn mib(self) -> u64 {
        self.bytes >> 20
    }

    /// Parses a whole number with an optional suffix `K`, `M`, `G` or `T` (powers of 1024, upper or lower case).
    ///
    /// # Errors
    ///
    /// A message when `text` has another form, or the number of bytes exceeds 64 bits.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refusal =
            || format!("'{text}' is not a size; write a whole number with K, M, G or T, as in 512M");
        let suffix = text.chars().last().map(|last| last.to_ascii_uppercase());
        let found = SUFFIXES.iter().find(|(name, _)| Some(*name) == suffix);
        let (digits, unit_bytes) = match found {
            Some((_, unit_bytes)) => (&text[..text.len() - 1], *unit_bytes),
            None => (text, 1),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refusal());
        }
        let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_bytes));
        bytes.map(|bytes| Self { bytes }).ok_or_else(|| format!("'{text}' is more than 64 bits can count"))
    }
}

impl fmt::Display for Size {
    /// Writes the size with the largest suffix that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact =
            |(_, unit_bytes): &&(char, u64)| self.bytes != 0 && self.bytes.is_multiple_of(*unit_bytes);
        match SUFFIXES.iter().find(exact) {
            Some((suffix, unit_bytes)) => write!(f, "{}{suffix}", self.bytes / unit_bytes),
            None => write!(f, "{}", self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn suffixes_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("4k", 4 << 10),
            ("512M", 512 << 20),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
            ("3072m", 3 << 30),
        ] {
            assert_eq!(Size::parse(text), Ok(Size { bytes }), "{text}");
        }
    }

    #[test]
    fn wrong_sizes_are_refused_with_the_value_and_an_example() {
        for text in ["", "M", "-1", "+1", "1.5G", "1 G", "G1", "0x10", "1GB", "1MiB", "½G", "1é", "1_000"] {
            let message = Size::parse(text).unwrap_err();
            assert!(message.contains(&format!("'{text}'")) && message.contains("512M"), "{message}");
        }
        for text in ["99999999999999999999", "16777216T"] {
            assert!(Size::parse(text).unwrap_err().contains("64 bits"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_sizes_parse_to_themselves(bytes: u64, zeros in 0_u32..64) {
            let size = Size { bytes: bytes << zeros };
            prop_assert_eq!(Size::parse(&size.to_string()), Ok(size));
        }

        #[test]
        fn parser_never_panics(text in any::<String>()) {
            let _ = Size::parse(&text);
        }
    }
}
