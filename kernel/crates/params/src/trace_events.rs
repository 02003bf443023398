//! The value of `trace.events`.

/// Classes of events that can be traced, in the order of their bits.
pub const NAMES: [&str; 11] =
    ["switch", "wake", "migrate", "ipi", "interrupt", "halt", "job", "chunk", "pool", "fault", "hotplug"];

/// Parses `all`, or names separated by commas, as a bit for each; `None` if a name is unknown.
#[must_use]
pub fn parse(text: &str) -> Option<u32> {
    if text == "all" {
        return Some((1 << NAMES.len()) - 1);
    }
    text.split(',').try_fold(0, |mask, name| Some(mask | 1 << NAMES.iter().position(|known| *known == name)?))
}
