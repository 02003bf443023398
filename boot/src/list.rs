//! Lists of thread counts as people write them: `1,2,4` or `1-8`.

use std::fmt;

/// Largest number of CPUs that the kernel uses. QEMU itself refuses machines with more CPUs than its version supports.
pub const CPUS_MAX: u32 = 512;

/// Largest number of CPUs with APIC ids of eight bits, which every version of QEMU supports.
pub const CPUS_COMMON: u32 = 255;

/// Thread counts without duplicates, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadCounts(Vec<u32>);

impl ThreadCounts {
    /// Parses counts and ranges `first-last`, separated by commas.
    ///
    /// # Errors
    ///
    /// A message when a part is not a number, is outside of 1 to [`CPUS_MAX`], is a descending range or a duplicate.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut counts = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (count(first, text)?, count(last, text)?);
            if first > last {
                return Err(format!("'{part}' runs backwards; write {last}-{first}"));
            }
            for count in first..=last {
                if counts.contains(&count) {
                    return Err(format!("{count} comes twice in '{text}'"));
                }
                counts.push(count);
            }
        }
        Ok(Self(counts))
    }

    /// Returns the largest count.
    pub fn max(&self) -> u32 {
        self.0.iter().copied().max().unwrap_or(1)
    }
}

fn count(digits: &str, whole: &str) -> Result<u32, String> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "'{digits}' in '{whole}' is not a thread count; write a list as in 1,2,4 or 1-4"
        ));
    }
    match digits.parse() {
        Ok(count @ 1..=CPUS_MAX) => Ok(count),
        _ => Err(format!("{digits} threads are out of range; the range is 1 to {CPUS_MAX}")),
    }
}

impl fmt::Display for ThreadCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&counts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_and_ranges() {
        for (text, expect) in [("1", "1"), ("1,2,4", "1,2,4"), ("4,1-3", "4,1,2,3"), ("255", "255")] {
            assert_eq!(ThreadCounts::parse(text).unwrap().to_string(), expect);
        }
        assert_eq!(ThreadCounts::parse("4,1-3").unwrap().max(), 4);
    }

    #[test]
    fn wrong_lists_are_refused() {
        for (text, message) in [
            ("", "'' in '' is not a thread count; write a list as in 1,2,4 or 1-4"),
            ("1,,2", "'' in '1,,2' is not a thread count; write a list as in 1,2,4 or 1-4"),
            ("one", "'one' in 'one' is not a thread count; write a list as in 1,2,4 or 1-4"),
            ("1, 2", "' 2' in '1, 2' is not a thread count; write a list as in 1,2,4 or 1-4"),
            ("0", "0 threads are out of range; the range is 1 to 512"),
            ("513", "513 threads are out of range; the range is 1 to 512"),
            ("99999999999", "99999999999 threads are out of range; the range is 1 to 512"),
            ("4-2", "'4-2' runs backwards; write 2-4"),
            ("1,2,1", "1 comes twice in '1,2,1'"),
            ("1-2-3", "'2-3' in '1-2-3' is not a thread count; write a list as in 1,2,4 or 1-4"),
        ] {
            assert_eq!(ThreadCounts::parse(text), Err(message.to_string()));
        }
    }

    proptest! {
        #[test]
        fn parser_never_panics(text in "[0-9,\\-a-z]{0,12}") {
            let _ = ThreadCounts::parse(&text);
        }
    }
}
