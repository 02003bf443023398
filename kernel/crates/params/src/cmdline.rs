//! The boot command line: `name=value`, separated by white space.
//!
//! A loader may pass any bytes. A bad word costs that word alone, and the number of warnings is bounded, however many words
//! are refused.

use core::fmt::{self, Display, Write as _};

use crate::param::{Param, SetError};
use crate::registry;
use crate::spelling::edit_distance;

/// Most unknown names and bad values that are reported one by one; of further ones the number is reported.
pub const MAX_REPORTED: usize = 8;
/// Longest word that is accepted; the longest list of the largest numbers is shorter.
pub const MAX_WORD_BYTES: usize = 512;
/// Bytes of a refused word that a message shows.
const SHOWN_BYTES: usize = 40;

/// A command line as the loader passes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// Its bytes, of any value.
    pub bytes: &'a [u8],
    /// Whether the line is longer than `bytes`.
    pub is_cut: bool,
}

impl<'a> From<&'a str> for CommandLine<'a> {
    fn from(line: &'a str) -> Self {
        Self { bytes: line.as_bytes(), is_cut: false }
    }
}

impl Display for CommandLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(self.bytes))
    }
}

/// Bytes that print as ASCII; others print as `\xNN`.
struct Printable<'a>(&'a [u8]);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b' '..=b'~' => f.write_char(char::from(*byte)),
            _ => write!(f, "\\x{byte:02x}"),
        })
    }
}

/// A problem with a command line. Displays as one line.
#[derive(Debug)]
pub enum Problem<'a> {
    /// A word could not be applied.
    Word(SetError<'a>),
    /// More words than [`MAX_REPORTED`] could not be applied.
    More {
        /// Number of words that were not reported.
        count: usize,
    },
    /// Words with bytes that are not printable ASCII.
    Unprintable {
        /// The first such word.
        first: &'a [u8],
        /// Number of such words.
        count: usize,
    },
    /// Words of more than [`MAX_WORD_BYTES`].
    TooLong {
        /// The first such word.
        first: &'a [u8],
        /// Number of such words.
        count: usize,
    },
    /// The line is longer than the part that was read.
    Cut {
        /// Bytes that were read.
        read_bytes: usize,
    },
}

impl Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |word: &[u8]| word.len().min(SHOWN_BYTES);
        let dots = |word: &[u8]| if word.len() > SHOWN_BYTES { "..." } else { "" };
        match self {
            Self::Word(error) => write!(f, "{error}"),
            Self::More { count } => {
                write!(
                    f,
                    "command line: {count} more parameters are unknown or have a value that is not allowed"
                )
            }
            Self::Unprintable { first, count } => write!(
                f,
                "command line: words with bytes that are not printable ascii are not applied: {count}, the first is `{}{}`",
                Printable(&first[..shown(first)]),
                dots(first)
            ),
            Self::TooLong { first, count } => write!(
                f,
                "command line: words of more than {MAX_WORD_BYTES} bytes are not applied: {count}, the first begins with `{}`",
                Printable(&first[..shown(first)])
            ),
            Self::Cut { read_bytes } => write!(
                f,
                "the command line is longer than {read_bytes} bytes; what lies behind, and a word that was cut in two, is not applied"
            ),
        }
    }
}

/// Error: a file of the loader is not a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// The file is too long.
    TooLong {
        /// Its length.
        len_bytes: u64,
        /// The longest that is accepted.
        most_bytes: usize,
    },
    /// The file is not in readable memory.
    Unreadable {
        /// Its address.
        address: u64,
    },
    /// A byte is not part of printable UTF-8 text.
    NotText {
        /// The byte.
        byte: u8,
        /// Its offset.
        offset: usize,
    },
}

impl Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len_bytes, most_bytes } => {
                write!(f, "{len_bytes} bytes; should be at most {most_bytes}")
            }
            Self::Unreadable { address } => write!(f, "address {address:#x} is not mapped"),
            Self::NotText { byte, offset } => {
                write!(f, "byte {byte:#04x} at offset {offset}; should be printable text")
            }
        }
    }
}

impl core::error::Error for TextError {}

/// Returns the text of a file that holds a command line, without NULs at its end.
///
/// # Errors
/// The first byte that is not part of printable UTF-8 text or white space.
pub fn text(file: &[u8]) -> Result<&[u8], TextError> {
    let end = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bytes = &file[..end];
    let (valid, rest) = match core::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let (valid, _) = bytes.split_at(error.valid_up_to());
            // What `from_utf8` has called valid.
            (core::str::from_utf8(valid).unwrap_or(""), Some(error.valid_up_to()))
        }
    };
    let is_text = |c: char| !c.is_control() || c.is_ascii_whitespace();
    let control = valid.char_indices().find(|(_, c)| !is_text(*c)).map(|(offset, _)| offset);
    match control.or(rest) {
        Some(offset) => Err(TextError::NotText { byte: bytes[offset], offset }),
        None => Ok(bytes),
    }
}

/// Numbers of applied and refused words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Parameters that were set.
    pub set: usize,
    /// Words that were refused.
    pub refused: usize,
}

/// Applies every `name=value` of `line`; the last one of a name wins. A word without `=` is a name with an empty value.
///
/// A refused word changes nothing. `report` gets up to [`MAX_REPORTED`] unknown names and bad values one by one, and one
/// problem for each other reason.
pub fn apply<'a>(line: impl Into<CommandLine<'a>>, mut report: impl FnMut(Problem<'a>)) -> Outcome {
    let CommandLine { bytes, is_cut } = line.into();
    // The last word may be cut: `smp.max_cpus=1` of `smp.max_cpus=16`.
    let whole = match bytes.iter().rposition(u8::is_ascii_whitespace) {
        _ if !is_cut => bytes,
        Some(end) => &bytes[..end],
        None => &[],
    };
    let mut outcome = Outcome::default();
    let (mut reported, mut unreported) = (0, 0);
    let mut unprintable = Refused::default();
    let mut too_long = Refused::default();
    for word in whole.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        let text =
            core::str::from_utf8(word).ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_graphic()));
        match text {
            None => unprintable.add(word),
            Some(_) if word.len() > MAX_WORD_BYTES => too_long.add(word),
            Some(text) => {
                let (name, value) = text.split_once('=').unwrap_or((text, ""));
                match set(name, value) {
                    Ok(()) => outcome.set += 1,
                    Err(error) if reported < MAX_REPORTED => {
                        reported += 1;
                        report(Problem::Word(error));
                    }
                    Err(_) => unreported += 1,
                }
            }
        }
    }
    outcome.refused = reported + unreported + unprintable.count + too_long.count;
    let problems = [
        (unreported > 0).then_some(Problem::More { count: unreported }),
        unprintable.first.map(|first| Problem::Unprintable { first, count: unprintable.count }),
        too_long.first.map(|first| Problem::TooLong { first, count: too_long.count }),
        is_cut.then_some(Problem::Cut { read_bytes: bytes.len() }),
    ];
    problems.into_iter().flatten().for_each(report);
    outcome
}

/// Words that were refused for one reason.
#[derive(Default)]
struct Refused<'a> {
    first: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Refused<'a> {
    fn add(&mut self, word: &'a [u8]) {
        self.first.get_or_insert(word);
        self.count += 1;
    }
}

/// Sets one parameter by name.
pub fn set<'a>(name: &'a str, value: &'a str) -> Result<(), SetError<'a>> {
    let param = find(name).ok_or_else(|| unknown(name))?;
    param.set(value).map_err(|_| SetError::BadValue { param, value })
}

/// Sets one parameter after boot: refuses those that are only read during boot.
pub fn change<'a>(name: &'a str, value: &'a str) -> Result<(), SetError<'a>> {
    match find(name) {
        Some(param) if registry::is_at_boot_only(param) => Err(SetError::AtBootOnly { param, value }),
        _ => set(name, value),
    }
}

/// Returns the error for the unknown `name`, with the most similar registered name.
pub fn unknown(name: &str) -> SetError<'_> {
    SetError::Unknown { name, similar: similar(name) }
}

/// Returns the parameter called `name`.
pub fn find(name: &str) -> Option<&'static dyn Param> {
    registry::ALL.iter().copied().find(|param| param.name() == name)
}

/// Returns the registered name nearest to `name` by edit distance, if the distance is at most 3.
fn similar(name: &str) -> Option<&'static str> {
    let distances = registry::ALL.iter().map(|param| (edit_distance(name, param.name()), param.name()));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 3).then_some(nearest)
}
