//! In-kernel tests: their names in the ELF file, which the host lists without booting, and patterns that choose tests.

/// The ELF section that holds the full names of all tests (`suite::test`), each ended by a NUL byte.
///
/// Zero padding between names is allowed: empty names do not count.
pub const NAMES_SECTION: &str = ".ktest.names";

/// Returns whether `pattern` chooses the test `name`.
///
/// A pattern is a list of alternatives, separated by commas. An alternative chooses every name that contains it; after a
/// leading `=`, only the name that equals the rest. The empty pattern chooses all tests.
///
/// ```
/// use protocol::ktest::matches;
/// assert!(matches("", "sched::joins"));
/// assert!(matches("sched", "sched::joins"));
/// assert!(matches("mm,=sched::joins", "sched::joins"));
/// assert!(!matches("=sched", "sched::joins"));
/// ```
pub fn matches(pattern: &str, name: &str) -> bool {
    pattern.is_empty()
        || pattern.split(',').filter(|alternative| !alternative.is_empty()).any(|alternative| {
            match alternative.strip_prefix('=') {
                Some(whole) => name == whole,
                None => name.contains(alternative),
            }
        })
}

/// Returns the test names in the bytes of [`NAMES_SECTION`], in the linker's order.
///
/// Names that are not UTF-8 are skipped.
pub fn names(section: &[u8]) -> impl Iterator<Item = &str> {
    section
        .split(|&byte| byte == 0)
        .filter(|bytes| !bytes.is_empty())
        .filter_map(|bytes| core::str::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_skip_padding_and_rubbish() {
        let section = b"a::one\0\0\0b::two\0\xff\xfe\0c::three";
        let found: Vec<_> = names(section).collect();
        assert_eq!(found, ["a::one", "b::two", "c::three"]);
        assert_eq!(names(b"").count(), 0);
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
