//! Lists of thread counts as people write them: `1,2,4` or `1-8`.

use std::fmt;

/// The most CPUs that the kernel uses. QEMU says itself how many a machine of its version can have.
pub const CPUS_MAX: u32 = 512;

/// The most CPUs of a machine whose interrupt controllers have identifiers of eight bits: every QEMU has so many.
pub const CPUS_COMMON: u32 = 255;

/// Thread counts, in the order given, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadCounts(Vec<u32>);

impl ThreadCounts {
    /// Reads counts and ranges `first-last` with commas between them.
    ///
    /// # Errors
    ///
    /// A message when a part is no number, is outside of 1 to [`CPUS_MAX`], runs backwards or comes twice.
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

    /// The largest count.
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
        _ => Err(format!("{digits} threads are out of range; 1 to {CPUS_MAX} are possible")),
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
    fn nonsense_is_refused() {
        for (text, message) in [
            ("", "'' in '' is not a thread count; write a list as in 1,2,4 or 1-4"),
            ("1,,2", "'' in '1,,2' is not a thread count; write a list as in 1,2,4 or 1-4"),
            ("one", "'one' in 'one' is not a thread count; write a list as in 1,2,4 or 1-4"),
            ("1, 2", "' 2' in '1, 2' is not a thread count; write a list as in 1,2,4 or 1-4"),
            ("0", "0 threads are out of range; 1 to 512 are possible"),
            ("513", "513 threads are out of range; 1 to 512 are possible"),
            ("99999999999", "99999999999 threads are out of range; 1 to 512 are possible"),
            ("4-2", "'4-2' runs backwards; write 2-4"),
            ("1,2,1", "1 comes twice in '1,2,1'"),
            ("1-2-3", "'2-3' in '1-2-3' is not a thread count; write a list as in 1,2,4 or 1-4"),
        ] {
            assert_eq!(ThreadCounts::parse(text), Err(message.to_string()));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9,\\-a-z]{0,12}") {
            let _ = ThreadCounts::parse(&text);
        }
    }
}
