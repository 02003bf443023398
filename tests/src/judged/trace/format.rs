//! Chrome's trace event format: the properties that viewers require, as far as the kernel's traces use them.

use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// State of the check.
#[derive(Default)]
struct Seen {
    /// Names of the open slices of each track.
    open: HashMap<u64, Vec<String>>,
    /// Time of the last event of each track.
    last: HashMap<u64, f64>,
    named: HashSet<u64>,
    /// Arrows that have begun, and whether they have ended.
    arrows: HashMap<u64, bool>,
    jobs: HashMap<u64, String>,
}

/// Checks a whole file; the error says what a viewer would reject.
pub fn check(text: &str) -> Result<(), String> {
    let file: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if file["displayTimeUnit"] != "ns" || !file["otherData"]["lost"].is_u64() {
        return Err("displayTimeUnit or otherData.lost is wrong".into());
    }
    let events = file["traceEvents"].as_array().ok_or("traceEvents is no array")?;
    let mut seen = Seen::default();
    for (number, event) in events.iter().enumerate() {
        let event = event.as_object().ok_or(format!("event {number} is no object"))?;
        seen.take(event).map_err(|what| format!("event {number}, {event:?}: {what}"))?;
    }
    seen.end()
}

fn text<'e>(event: &'e Map<String, Value>, field: &str) -> Result<&'e str, String> {
    event.get(field).and_then(Value::as_str).ok_or(format!("{field} is no text"))
}

fn number(event: &Map<String, Value>, field: &str) -> Result<u64, String> {
    event.get(field).and_then(Value::as_u64).ok_or(format!("{field} is no whole number"))
}

impl Seen {
    fn take(&mut self, event: &Map<String, Value>) -> Result<(), String> {
        let (kind, name) = (text(event, "ph")?, text(event, "name")?.to_string());
        let (process, track) = (number(event, "pid")?, number(event, "tid")?);
        let time = event.get("ts").and_then(Value::as_f64).ok_or("ts is no number")?;
        let last = self.last.insert(track, time).unwrap_or(0.0);
        if process != 1 || time < last {
            return Err(format!("another process, or before {last}"));
        }
        if kind == "M" {
            return self.metadata(event, &name, track);
        }
        if text(event, "cat")?.is_empty() || !self.named.contains(&track) {
            return Err("no category, or a track without a name".into());
        }
        let open = self.open.entry(track).or_default();
        match kind {
            "B" => open.push(name),
            "E" if open.pop().as_ref() == Some(&name) => {}
            "E" => return Err("ends a slice that is not the innermost".into()),
            "i" if !["t", "g"].contains(&text(event, "s")?) => {
                return Err("an instant without a scope".into());
            }
            "i" => {}
            "s" | "f" if open.is_empty() => return Err("an arrow outside of all slices".into()),
            "s" if self.arrows.insert(number(event, "id")?, false).is_some() => {
                return Err("an arrow that has begun already".into());
            }
            "s" => {}
            "f" if text(event, "bp")? != "e" => return Err("an arrow that belongs to the next slice".into()),
            "f" if self.arrows.insert(number(event, "id")?, true) != Some(false) => {
                return Err("an arrow that has not begun, or has ended".into());
            }
            "f" => {}
            "b" if self.jobs.insert(number(event, "id")?, name.clone()).is_some() => {
                return Err("a job that has begun already".into());
            }
            "b" => {}
            "e" if self.jobs.remove(&number(event, "id")?) != Some(name) => {
                return Err("a job that has not begun".into());
            }
            "e" => {}
            "C" => {
                let values =
                    event.get("args").and_then(Value::as_object).ok_or("a counter without values")?;
                if values.is_empty() || !values.values().all(Value::is_u64) {
                    return Err("a counter without numbers".into());
                }
            }
            _ => return Err("an unknown kind".into()),
        }
        Ok(())
    }

    fn metadata(&mut self, event: &Map<String, Value>, name: &str, track: u64) -> Result<(), String> {
        let value = |field| event.get("args").and_then(|arguments| arguments.get(field));
        let is_sound = match name {
            "process_name" | "thread_name" => value("name").is_some_and(Value::is_string),
            "thread_sort_index" => value("sort_index").is_some_and(Value::is_u64),
            _ => false,
        };
        if name == "thread_name" && !self.named.insert(track) {
            return Err("a second name".into());
        }
        is_sound.then_some(()).ok_or("no name".into())
    }

    fn end(self) -> Result<(), String> {
        match self.open.iter().find(|(_, open)| !open.is_empty()) {
            Some((track, open)) => Err(format!("{open:?} on track {track} never end")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a file with `events` on track 0, which has a name.
    fn file(events: &str) -> String {
        let name = r#"{"ph":"M","pid":1,"tid":0,"ts":0.0,"name":"thread_name","args":{"name":"cpu 0"}}"#;
        format!(r#"{{"displayTimeUnit":"ns","otherData":{{"lost":0}},"traceEvents":[{name}{events}]}}"#)
    }

    fn event(kind: &str, name: &str, ts: f64, more: &str) -> String {
        format!(r#",{{"ph":"{kind}","pid":1,"tid":0,"ts":{ts},"cat":"c","name":"{name}"{more}}}"#)
    }

    #[test]
    fn valid_file_passes() {
        let slice = event("B", "a", 1.0, "") + &event("s", "wake", 2.0, r#","id":1"#);
        let arrow = event("f", "wake", 3.0, r#","id":1,"bp":"e""#) + &event("E", "a", 4.0, "");
        let rest = event("i", "x", 4.0, r#","s":"t""#) + &event("C", "n", 5.0, r#","args":{"n":1}"#);
        let job = event("b", "j", 6.0, r#","id":1"#) + &event("e", "j", 7.0, r#","id":1"#);
        assert_eq!(check(&file(&(slice + &arrow + &rest + &job))), Ok(()));
    }

    #[test]
    fn invalid_files_are_refused() {
        let begin = event("B", "a", 1.0, "");
        for (events, part) in [
            (begin.clone(), "never end"),
            (event("E", "a", 1.0, ""), "ends a slice that is not the innermost"),
            (begin.clone() + &event("E", "b", 2.0, ""), "ends a slice that is not the innermost"),
            (begin.clone() + &event("E", "a", 0.5, ""), "before 1"),
            (event("s", "wake", 1.0, r#","id":1"#), "outside of all slices"),
            (begin.clone() + &event("f", "wake", 2.0, r#","id":1,"bp":"e""#), "has not begun"),
            (begin.clone() + &event("f", "wake", 2.0, r#","id":1"#), "bp is no text"),
            (event("i", "x", 1.0, ""), "s is no text"),
            (event("C", "n", 1.0, r#","args":{}"#), "without numbers"),
            (event("e", "j", 1.0, r#","id":1"#), "a job that has not begun"),
            (event("Z", "z", 1.0, ""), "unknown kind"),
            (r#",{"ph":"B","pid":1,"tid":3,"ts":1,"cat":"c","name":"a"}"#.into(), "without a name"),
            (r#",{"ph":"B","pid":1,"ts":1,"cat":"c","name":"a"}"#.into(), "tid is no whole number"),
            (",".into(), "not JSON"),
        ] {
            let what = check(&file(&events)).expect_err(&events);
            assert!(what.contains(part), "{events}: {what}");
        }
    }
}
