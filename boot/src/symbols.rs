//! Names of code addresses: function and line, from the kernel's ELF file.

use object::{Object, ObjectSection, SectionKind};
use protocol::ktest::{Listed, Need};
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// Symbols and line tables of an ELF file.
pub struct Symbols {
    loader: addr2line::Loader,
    /// Address ranges of code. The debug information also describes functions that the linker dropped, at address 0.
    code: Vec<Range<u64>>,
}

/// A function at an address. An address in inlined code has several frames, innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's name in the source.
    pub function: String,
    /// `file:line`, where the file's debug information covers the address.
    pub location: Option<String>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "{} at {location}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

impl Symbols {
    /// Loads an ELF file.
    ///
    /// # Errors
    ///
    /// A message when the file cannot be read.
    pub fn load(elf: &Path) -> Result<Self, String> {
        let loader = addr2line::Loader::new(elf)
            .map_err(|error| format!("no symbols: cannot read {}: {error}", elf.display()))?;
        let code = with_file(elf, |file| {
            let sections = file.sections().filter(|section| section.kind() == SectionKind::Text);
            Ok(sections.map(|section| section.address()..section.address() + section.size()).collect())
        })?;
        Ok(Self { loader, code })
    }

    /// Returns the functions at `address`; none outside of the file's code.
    pub fn frames(&self, address: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        if !self.code.iter().any(|section| section.contains(&address)) {
            return frames;
        }
        if let Ok(mut found) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = found.next() {
                let Some(function) = frame.function else {
                    continue;
                };
                let function = function.demangle().map_or_else(|_| "?".to_string(), |name| name.into_owned());
                let location = frame.location.and_then(|location| {
                    Some(format!("{}:{}", shorten(location.file?), location.line.unwrap_or_default()))
                });
                frames.push(Frame { function: without_hash(&function), location });
            }
        }
        // Line tables have only the last part of a function's path. The symbol table has the whole path, but only of the
        // outermost function.
        if let Some(name) = self.loader.find_symbol(address) {
            let function = format!("{:#}", rustc_demangle::demangle(name));
            match frames.last_mut() {
                Some(outermost) => outermost.function = function,
                None => frames.push(Frame { function, location: None }),
            }
        }
        frames
    }

    /// Formats a backtrace, one line per function.
    ///
    /// All addresses but the first are return addresses. `first_is_exact` says that the first is the address of an
    /// instruction, as after a fault. A return address may belong to the line, or even the function, after the call.
    /// Therefore the byte before it is looked up.
    pub fn backtrace(&self, addresses: &[u64], first_is_exact: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, &address) in addresses.iter().enumerate() {
            let lookup = if index == 0 && first_is_exact { address } else { address.wrapping_sub(1) };
            let frames = self.frames(lookup);
            if frames.is_empty() {
                lines.push(format!("{index:>3}: {address:#018x} ?"));
            }
            for (depth, frame) in frames.iter().enumerate() {
                lines.push(match depth {
                    0 => format!("{index:>3}: {address:#018x} {frame}"),
                    _ => format!("     {:18} {frame}", "inlined into"),
                });
            }
        }
        lines
    }
}

/// Removes the part of a path before the workspace, before a dependency's name and version, or before the library.
fn shorten(file: &str) -> &str {
    let workspace = crate::kernel::workspace().to_str().unwrap_or_default();
    if let Some(rest) = file.strip_prefix(workspace) {
        return rest.trim_start_matches('/');
    }
    if let Some((_, rest)) = file.split_once("/rustlib/src/rust/") {
        return rest;
    }
    match file.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/')) {
        Some((_, rest)) => rest,
        None => file,
    }
}

/// Removes the hash from `name::h0123456789abcdef`.
fn without_hash(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((rest, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest,
        _ => name,
    }
    .to_string()
}

/// An in-kernel test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelTest {
    /// `suite::test`.
    pub name: String,
    /// The name and the needs, for [`protocol::ktest::matches`].
    pub listed: String,
    /// What it needs of the machine and the build.
    pub needs: Vec<Need>,
}

/// Returns the in-kernel tests in an ELF file, sorted by name.
///
/// # Errors
///
/// A message when the file cannot be read, or a need in it is unknown. A file without the section holds no tests.
pub fn tests(elf: &Path) -> Result<Vec<KernelTest>, String> {
    with_file(elf, |file| {
        let Some(section) = file.section_by_name(protocol::ktest::NAMES_SECTION) else {
            return Ok(Vec::new());
        };
        let bytes = section.data().map_err(|error| format!("cannot read {}: {error}", elf.display()))?;
        let test = |listed: Listed<'_>| {
            let needs: Result<_, _> = listed.needs().collect();
            let needs = needs.map_err(|unknown| format!("{}: {}: {unknown}", elf.display(), listed.name))?;
            Ok(KernelTest { name: listed.name.to_string(), listed: listed.listed.to_string(), needs })
        };
        let mut tests = protocol::ktest::listed(bytes).map(test).collect::<Result<Vec<_>, String>>()?;
        tests.sort();
        tests.dedup();
        Ok(tests)
    })
}

fn with_file<T>(elf: &Path, read: impl FnOnce(&object::File<'_>) -> Result<T, String>) -> Result<T, String> {
    let data = std::fs::read(elf).map_err(|error| format!("cannot read {}: {error}", elf.display()))?;
    let file = object::File::parse(&*data)
        .map_err(|error| format!("{} is not an ELF file: {error}", elf.display()))?;
    read(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function of this test program with a known line.
    #[inline(never)]
    fn landmark() -> u32 {
        std::hint::black_box(line!() - 2)
    }

    fn this_program() -> Symbols {
        Symbols::load(&std::env::current_exe().unwrap()).unwrap()
    }

    /// Returns the address of `landmark` in the file. At run time the program is relocated. No name but the function's
    /// has its name in it: any function may be the one before it.
    fn known_address() -> u64 {
        use object::ObjectSymbol;
        let data = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(&*data).unwrap();
        let mut symbols = file.symbols();
        let found = symbols.find(|symbol| symbol.name().is_ok_and(|name| name.contains("landmark17h")));
        found.expect("the symbol table names landmark").address()
    }

    #[test]
    fn address_becomes_function_and_line() {
        let line = landmark();
        let frames = this_program().frames(known_address());
        let outermost = frames.last().unwrap();
        assert!(outermost.function.ends_with("symbols::tests::landmark"), "{frames:?}");
        let location = outermost.location.as_deref().unwrap();
        assert!(location.starts_with("boot/src/symbols.rs:"), "{location}");
        let found_line: u32 = location.rsplit(':').next().unwrap().parse().unwrap();
        assert!((line..line + 3).contains(&found_line), "{found_line} is not near {line}");
    }

    #[test]
    fn return_addresses_are_looked_up_one_byte_before() {
        // The function's first byte as a return address belongs to the code before the function.
        let symbols = this_program();
        let address = known_address();
        assert!(symbols.backtrace(&[address], true).join("\n").contains("landmark"));
        assert!(!symbols.backtrace(&[address], false).join("\n").contains("landmark"));
        assert!(symbols.backtrace(&[address + 1], false).join("\n").contains("landmark"));
        assert!(symbols.backtrace(&[0, address + 1], true).join("\n").contains("landmark"));
    }

    #[test]
    fn unknown_address_is_printed_unchanged() {
        assert_eq!(this_program().frames(0), []);
        assert_eq!(this_program().backtrace(&[0x10], true), ["  0: 0x0000000000000010 ?"]);
    }

    #[test]
    fn other_files_than_elf_are_errors() {
        let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/symbols.rs"));
        assert!(Symbols::load(source).is_err());
        assert!(tests(source).unwrap_err().contains("is not an ELF file"));
        assert!(tests(Path::new("/nowhere")).unwrap_err().starts_with("cannot read /nowhere"));
    }

    #[test]
    fn program_without_the_section_has_no_tests() {
        assert_eq!(tests(&std::env::current_exe().unwrap()), Ok(Vec::new()));
    }

    #[test]
    fn paths_are_shortened() {
        let below_workspace = format!("{}/kernel/src/main.rs", crate::kernel::workspace().display());
        for (file, short) in [
            (below_workspace.as_str(), "kernel/src/main.rs"),
            ("/usr/lib/rustlib/src/rust/library/core/src/hint.rs", "library/core/src/hint.rs"),
            ("/home/u/.cargo/registry/src/x-1/spin-0.12.3/src/once.rs", "spin-0.12.3/src/once.rs"),
            ("/elsewhere/a.rs", "/elsewhere/a.rs"),
            ("kernel/src/main.rs", "kernel/src/main.rs"),
        ] {
            assert_eq!(shorten(file), short);
        }
    }

    #[test]
    fn hashes_are_removed() {
        assert_eq!(without_hash("a::b::h0123456789abcdef"), "a::b");
        assert_eq!(without_hash("a::b::hello"), "a::b::hello");
    }
}
