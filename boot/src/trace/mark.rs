//! What viewers show: one mark after the other.

/// An argument of a mark: its name and its value.
pub type Argument = (&'static str, Value);

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u64),
    /// Words.
    Text(String),
    /// Yes or no.
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

/// Something to show. All come in the order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub ns: u64,
    /// On the track of which CPU.
    pub cpu: u32,
    /// What.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// More about it.
    pub arguments: Vec<Argument>,
}

/// What a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A slice begins, inside of those that are open on the track.
    Begin(Slice),
    /// The slice that was begun last on the track ends.
    End(Slice),
    /// Something without duration, of interest to this CPU or to all.
    Instant {
        /// To all.
        is_global: bool,
    },
    /// An arrow begins in the innermost slice on the track.
    ArrowBegin(u64),
    /// An arrow ends at the slice that begins here.
    ArrowEnd(u64),
    /// A job begins: not on a CPU's track, for it may move.
    JobBegin(u32),
    /// A job ends.
    JobEnd(u32),
    /// A number changes.
    Counter,
}

/// What a slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slice {
    /// A thread runs.
    Thread,
    /// It works on a chunk.
    Chunk,
    /// An interrupt handler runs.
    Interrupt,
    /// The CPU halts.
    Halt,
    /// The idle thread clears a page.
    PoolFill,
}
