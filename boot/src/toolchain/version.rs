//! Compiler versions.

use std::fmt;

/// A version of Rust, without its third number, which is never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl Version {
    /// Parses `1.96.0`, `1.97.0-nightly`, or a Debian version such as `1.96.0+dfsg1-1~deb12u2`; skips an epoch.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.split_once(':').map_or(text, |(_epoch, rest)| rest);
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        Some(Self { major: next()?, minor: next()? })
    }

    /// Returns the version in the output of `rustc -vV`.
    pub fn of_rustc(verbose: &str) -> Option<Self> {
        verbose.lines().find_map(|line| Self::parse(line.strip_prefix("release:")?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_compilers_and_packages_parse() {
        let expect = |minor| Some(Version { major: 1, minor });
        assert_eq!(Version::parse("1.96.0"), expect(96));
        assert_eq!(Version::parse("1.97.0-nightly"), expect(97));
        assert_eq!(Version::parse("1.96.0+dfsg1-1~deb12u2"), expect(96));
        assert_eq!(Version::parse("2:1.100.3-1"), expect(100));
        assert_eq!(Version::of_rustc("rustc 1.96.0\nbinary: rustc\nrelease: 1.96.0\n"), expect(96));
        for text in ["", "(none)", "stable", "1", "1."] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(Version { major: 1, minor: 100 } > Version { major: 1, minor: 96 });
        assert!(Version { major: 2, minor: 0 } > Version { major: 1, minor: 96 });
    }
}
