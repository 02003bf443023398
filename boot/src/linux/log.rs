//! What Linux's log tells.

/// Facts from Linux's log on the serial port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// Version, such as `6.1.0-56-cloud-amd64`.
    pub(super) version: Option<String>,
    /// CPUs that came up.
    pub(super) cpus: Option<u32>,
    /// Time that the deferred page descriptors took, and when they were complete, in nanoseconds. Nodes work at the same time:
    /// the longest counts. Linux rounds down to milliseconds.
    pub(super) memory_map_init: Option<(u64, u64)>,
    /// Why Linux stopped.
    pub(super) panic: Option<String>,
}

impl Log {
    /// Reads the lines of a log; unknown lines are passed over.
    pub(super) fn parse(lines: &[String]) -> Self {
        let mut log = Self::default();
        for line in lines {
            let (end_ns, text) = stamped(line);
            if let Some(rest) = text.strip_prefix("Linux version ") {
                log.version = rest.split_whitespace().next().map(str::to_string);
            } else if let Some(ns) = deferred_ns(text) {
                let longest = log.memory_map_init.map_or(0, |(ns, _)| ns).max(ns);
                log.memory_map_init = Some((longest, end_ns));
            } else if let Some(rest) = text.strip_prefix("smp: Brought up ") {
                log.cpus = number_before(rest, " CPU");
            } else if let Some(rest) = text.strip_prefix("Kernel panic - not syncing: ") {
                log.panic.get_or_insert_with(|| format!("its kernel panicked: {rest}"));
            } else if text.starts_with("linux-init: ") {
                log.panic.get_or_insert_with(|| text.to_string());
            }
        }
        log
    }
}

/// Splits a line into its time, 0 if it has none, and its text.
fn stamped(line: &str) -> (u64, &str) {
    let split = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    let timed = split.and_then(|(time, text)| {
        let (seconds, micros) = time.trim().split_once('.')?;
        let micros = if micros.len() == 6 { micros.parse::<u64>().ok()? } else { return None };
        let ns = seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(micros * 1_000)?;
        Some((ns, text))
    });
    timed.unwrap_or((0, line))
}

/// Returns the time of `node 0 deferred pages initialised in 12ms`.
fn deferred_ns(text: &str) -> Option<u64> {
    let (node, time) = text.split_once(" deferred pages initialised in ")?;
    node.strip_prefix("node ")?.parse::<u32>().ok()?;
    time.strip_suffix("ms")?.parse::<u64>().ok()?.checked_mul(1_000_000)
}

/// Returns the number just before `word`.
fn number_before(text: &str, word: &str) -> Option<u32> {
    text.split_once(word)?.0.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Log {
        Log::parse(&text.lines().map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn recorded_log_tells_version_cpus_and_time() {
        let log = parse(include_str!("recorded.log"));
        assert_eq!(log.version.as_deref(), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(log.cpus, Some(2));
        assert_eq!(log.panic, None);
    }

    #[test]
    fn longest_node_counts() {
        let log = parse(
            "[    0.300001] node 1 deferred pages initialised in 20ms\n\
             [   12.300002] node 0 deferred pages initialised in 8ms\nnode x deferred pages initialised in 99ms",
        );
        assert_eq!(log.memory_map_init, Some((20_000_000, 12_300_002_000)));
    }

    #[test]
    fn reasons_to_stop_are_found() {
        let log = parse(
            "[    1.5] unrelated\n[    1.500000] Kernel panic - not syncing: No working init found.\n\
             [    1.6] Kernel panic - not syncing: again",
        );
        assert_eq!(log.panic.as_deref(), Some("its kernel panicked: No working init found."));
        let log = parse("linux-init: open failed with error -2");
        assert_eq!(log.panic.as_deref(), Some("linux-init: open failed with error -2"));
    }

    proptest! {
        #[test]
        fn any_log_is_survived(lines in prop::collection::vec("(\\[ *[0-9]{0,20}\\.[0-9]{0,7}\\] )?(node [0-9]{0,12} deferred pages initialised in [0-9]{0,22}ms|smp: Brought up .{0,20}|.{0,30})", 0..8)) {
            Log::parse(&lines);
        }
    }
}
