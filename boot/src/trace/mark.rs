//! Marks: the elements that a trace viewer shows.

/// An argument of a mark: its name and its value.
pub type Argument = (&'static str, Value);

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
    /// A truth value.
    Truth(bool),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

/// A mark in a viewer. Marks are ordered by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Time.
    pub ns: u64,
    /// CPU of the track.
    pub cpu: u32,
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: String,
    /// Additional facts.
    pub arguments: Vec<Argument>,
}

/// Kinds of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A slice begins, nested in the open slices of the track.
    Begin(Slice),
    /// The innermost open slice of the track ends.
    End(Slice),
    /// An event without duration.
    Instant {
        /// Whether it concerns all CPUs.
        is_global: bool,
    },
    /// An arrow begins in the innermost slice on the track.
    ArrowBegin(u64),
    /// An arrow ends at the slice that begins here.
    ArrowEnd(u64),
    /// A job begins; it is on no CPU's track, because its caller may migrate.
    JobBegin(u32),
    /// A job ends.
    JobEnd(u32),
    /// A counter changes.
    Counter,
}

/// Kinds of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slice {
    /// A thread runs.
    Thread,
    /// A thread processes a chunk.
    Chunk,
    /// An interrupt handler runs.
    Interrupt,
    /// The CPU halts.
    Halt,
    /// The idle thread clears a page.
    PoolFill,
}
