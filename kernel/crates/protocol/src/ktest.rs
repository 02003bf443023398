//! In-kernel tests: how the host lists them without booting, and how a pattern chooses among them.

/// The ELF section that holds the full names of all tests (`suite::test`), each ended by a NUL byte.
///
/// Zero padding between names is allowed: an empty name is none.
pub const NAMES_SECTION: &str = ".ktest.names";

/// Whether `pattern` chooses the test `name`.
///
/// A pattern is a list of alternatives with commas between them. An alternative chooses every name
/// that contains it; one that starts with `=` chooses only the name that equals the rest. The empty
/// pattern chooses every test.
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

/// The test names in the bytes of [`NAMES_SECTION`], in the order in which the linker placed them.
///
/// Bytes that are not UTF-8 cannot be names and are left out.
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
