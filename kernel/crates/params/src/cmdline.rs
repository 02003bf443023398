//! The boot command line: `name=value`, separated by white space.
//!
//! Loaders hand over any bytes. A word that makes no sense costs that word
//! alone, and there are only so many warnings, however many words are refused.

use core::fmt::{self, Display, Write as _};

use crate::param::{Param, SetError};
use crate::registry;

/// Unknown names and bad values that are told one by one; of more, only how
/// many.
pub const MAX_TOLD: usize = 8;
/// Longer words than this are refused: the longest list of the largest numbers
/// has fewer bytes.
pub const MAX_WORD_BYTES: usize = 512;
/// Bytes shown of a word that cannot be read.
const SHOWN_BYTES: usize = 40;

/// A command line as a loader hands it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// Its bytes, whatever they are.
    pub bytes: &'a [u8],
    /// Whether there was more than `bytes`.
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

/// Bytes with those that are not printable ASCII as `\xNN`.
struct Printable<'a>(&'a [u8]);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b' '..=b'~' => f.write_char(char::from(*byte)),
            _ => write!(f, "\\x{byte:02x}"),
        })
    }
}

/// What is wrong with a command line. Displays as one line.
#[derive(Debug)]
pub enum Problem<'a> {
    /// A word could not be applied.
    Word(SetError<'a>),
    /// More words than [`MAX_TOLD`] could not be applied.
    More {
        /// How many were not told.
        count: usize,
    },
    /// Words with bytes that are not printable ASCII.
    Unprintable {
        /// The first of them.
        first: &'a [u8],
        /// How many there are.
        count: usize,
    },
    /// Words of more than [`MAX_WORD_BYTES`].
    TooLong {
        /// The first of them.
        first: &'a [u8],
        /// How many there are.
        count: usize,
    },
    /// The line is longer than what was read of it.
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

/// How many words were taken and how many not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Parameters that were set.
    pub set: usize,
    /// Words that were refused; `report` was told of each, or how many.
    pub refused: usize,
}

/// Applies every `name=value` of `line`; the last one of a name wins. What
/// cannot be applied goes to `report` and changes nothing: words one by one up
/// to [`MAX_TOLD`], everything else once a kind. A word without `=` counts as a
/// name with an empty value.
pub fn apply<'a>(line: impl Into<CommandLine<'a>>, mut report: impl FnMut(Problem<'a>)) -> Outcome {
    let CommandLine { bytes, is_cut } = line.into();
    // The last word may be half of one: `smp.max_cpus=1` of `smp.max_cpus=16`.
    let whole = match bytes.iter().rposition(u8::is_ascii_whitespace) {
        _ if !is_cut => bytes,
        Some(end) => &bytes[..end],
        None => &[],
    };
    let mut outcome = Outcome::default();
    let (mut told, mut untold) = (0, 0);
    let mut unprintable = Kind::default();
    let mut too_long = Kind::default();
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
                    Err(error) if told < MAX_TOLD => {
                        told += 1;
                        report(Problem::Word(error));
                    }
                    Err(_) => untold += 1,
                }
            }
        }
    }
    outcome.refused = told + untold + unprintable.count + too_long.count;
    let problems = [
        (untold > 0).then_some(Problem::More { count: untold }),
        unprintable.first.map(|first| Problem::Unprintable { first, count: unprintable.count }),
        too_long.first.map(|first| Problem::TooLong { first, count: too_long.count }),
        is_cut.then_some(Problem::Cut { read_bytes: bytes.len() }),
    ];
    problems.into_iter().flatten().for_each(report);
    outcome
}

/// Words that are refused for one reason.
#[derive(Default)]
struct Kind<'a> {
    first: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Kind<'a> {
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

/// As [`set`], once the machine is up: what was read on the way up cannot be changed any more.
pub fn change<'a>(name: &'a str, value: &'a str) -> Result<(), SetError<'a>> {
    match find(name) {
        Some(param) if registry::is_at_boot_only(param) => Err(SetError::AtBootOnly { param, value }),
        _ => set(name, value),
    }
}

/// That there is no parameter called `name`, and which may be meant.
pub fn unknown(name: &str) -> SetError<'_> {
    SetError::Unknown { name, similar: similar(name) }
}

/// The parameter called `name`.
pub fn find(name: &str) -> Option<&'static dyn Param> {
    registry::ALL.iter().copied().find(|param| param.name() == name)
}

/// The registered name nearest to `name`, if it is near enough to be meant.
fn similar(name: &str) -> Option<&'static str> {
    let distances = registry::ALL.iter().map(|param| (edit_distance(name, param.name()), param.name()));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 3).then_some(nearest)
}

/// Levenshtein distance, over the first 40 bytes of each.
fn edit_distance(a: &str, b: &str) -> usize {
    const MOST: usize = 40;
    let (a, b) = (&a.as_bytes()[..a.len().min(MOST)], &b.as_bytes()[..b.len().min(MOST)]);
    let mut row: [usize; MOST + 1] = core::array::from_fn(|index| index);
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
