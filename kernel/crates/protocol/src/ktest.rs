//! In-kernel tests: their names and needs in the ELF file, which the host lists without booting, and patterns that choose
//! tests.

mod need;

pub use need::{Facts, Need, UnknownNeed};

/// The ELF section that holds the full names of all tests (`suite::test`), each ended by a NUL byte. Behind a name are the
/// test's needs, each after a space: `suite::test Cpus(2) CountedTime`.
///
/// Zero padding between names is allowed: empty names do not count.
pub const NAMES_SECTION: &str = ".ktest.names";

/// Returns whether `pattern` chooses the test `listed`: its name, with its needs behind it.
///
/// A pattern is a list of alternatives, separated by commas. An alternative chooses every test whose name or needs contain
/// it; after a leading `=`, only the test with the rest as its name. The empty pattern chooses all tests.
///
/// ```
/// use protocol::ktest::matches;
/// assert!(matches("", "sched::joins"));
/// assert!(matches("sched", "sched::joins"));
/// assert!(matches("mm,=sched::joins", "sched::joins"));
/// assert!(!matches("=sched", "sched::joins"));
/// assert!(matches("CountedTime", "sched::shares CountedTime Cpus(2)"));
/// assert!(matches("=sched::shares", "sched::shares CountedTime Cpus(2)"));
/// ```
pub fn matches(pattern: &str, listed: &str) -> bool {
    let name = listed.split(' ').next().unwrap_or(listed);
    pattern.is_empty()
        || pattern.split(',').filter(|alternative| !alternative.is_empty()).any(|alternative| {
            match alternative.strip_prefix('=') {
                Some(whole) => name == whole,
                None => listed.contains(alternative),
            }
        })
}

/// A test as the ELF file lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// `suite::test`.
    pub name: &'a str,
    /// The name and the needs, for [`matches()`].
    pub listed: &'a str,
    needs: &'a str,
}

impl<'a> Listed<'a> {
    /// Returns what the test needs, in the order of its source.
    ///
    /// # Errors
    ///
    /// [`UnknownNeed`], item by item: the kernel is of another version than its reader.
    pub fn needs(&self) -> impl Iterator<Item = Result<Need, UnknownNeed<'a>>> + use<'a> {
        self.needs.split(' ').filter(|text| !text.is_empty()).map(Need::parse)
    }
}

/// Returns the tests in the bytes of [`NAMES_SECTION`], in the linker's order.
///
/// Names that are not UTF-8 are skipped.
pub fn listed(section: &[u8]) -> impl Iterator<Item = Listed<'_>> {
    section
        .split(|&byte| byte == 0)
        .filter(|bytes| !bytes.is_empty())
        .filter_map(|bytes| core::str::from_utf8(bytes).ok())
        .map(|text| {
            let (name, needs) = text.split_once(' ').unwrap_or((text, ""));
            Listed { name, listed: text, needs }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_skip_padding_and_rubbish() {
        let section = b"a::one\0\0\0b::two\0\xff\xfe\0c::three";
        let found: Vec<_> = listed(section).map(|test| test.name).collect();
        assert_eq!(found, ["a::one", "b::two", "c::three"]);
        assert_eq!(listed(b"").count(), 0);
    }

    #[test]
    fn needs_follow_the_name() {
        let found: Vec<_> = listed(b"a::one Cpus(2)  CountedTime\0b::two Cpus(x) \0").collect();
        assert_eq!((found[0].name, found[1].name), ("a::one", "b::two"));
        assert!(found[0].needs().eq([Ok(Need::Cpus(2)), Ok(Need::CountedTime)]));
        assert!(found[1].needs().eq([Err(UnknownNeed("Cpus(x)"))]));
    }

    #[test]
    fn patterns_choose_by_part_or_by_whole() {
        assert!(matches("buddy", "mm::buddy::splits"));
        assert!(matches("nothing,splits", "mm::buddy::splits"));
        assert!(matches("=mm::buddy::splits", "mm::buddy::splits"));
        assert!(!matches("=mm::buddy", "mm::buddy::splits"));
        assert!(!matches("sched", "mm::buddy::splits"));
    }

    #[test]
    fn empty_alternatives_choose_nothing() {
        assert!(!matches(",", "mm::buddy"));
        assert!(!matches("sched,", "mm::buddy"));
        assert!(!matches("=", "mm::buddy"));
    }
}
