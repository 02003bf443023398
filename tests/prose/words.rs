//! Words that are not used.

use crate::repository::{Document, spans};

/// A word or phrase, and what to write instead.
pub struct Rule {
    word: String,
    parts: Vec<String>,
    instead: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A name in the code: compared as it is.
    Name,
    /// A word of a sentence: of any case, and also as a part of a `snake_case` name.
    Prose,
}

/// A file that may use a word.
pub struct Allowance {
    pub path: String,
    pub word: String,
    pub is_used: bool,
}

/// Reads rules: `word -> instead`, one a line. A word with an upper-case letter or an underscore is a name.
pub fn rules(text: &str) -> Vec<Rule> {
    let rule = |line: &str| {
        let (word, instead) = line.split_once(" -> ").unwrap_or_else(|| panic!("not a rule: {line}"));
        let (word, instead) = (word.trim().to_owned(), instead.trim().to_owned());
        let is_name = word.contains(|c: char| c == '_' || c.is_uppercase());
        let parts = word.split_whitespace().map(str::to_owned).collect();
        Rule { word, parts, instead, kind: if is_name { Kind::Name } else { Kind::Prose } }
    };
    entries(text).map(rule).collect()
}

/// Reads allowances: `path: word`, one a line.
pub fn allowances(text: &str) -> Vec<Allowance> {
    let allowance = |line: &str| {
        let (path, word) = line.split_once(": ").unwrap_or_else(|| panic!("not an allowance: {line}"));
        Allowance { path: path.to_owned(), word: word.to_owned(), is_used: false }
    };
    entries(text).map(allowance).collect()
}

/// Returns the lines that are not empty and no comments.
pub fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
}

/// Returns the uses of forbidden words, and marks the allowances that apply.
pub fn check(document: &Document, rules: &[Rule], allowances: &mut [Allowance]) -> Vec<String> {
    let names = tokens(document, Kind::Name);
    let prose = tokens(document, Kind::Prose);
    let mut found = Vec::new();
    for rule in rules {
        let tokens = if rule.kind == Kind::Name { &names } else { &prose };
        for at in 0..tokens.len() {
            let matches = tokens.len() - at >= rule.parts.len()
                && rule.parts.iter().zip(&tokens[at..]).all(|(part, token)| *part == token.word);
            if !matches {
                continue;
            }
            let mut allowed = allowances
                .iter_mut()
                .filter(|allowance| allowance.path == document.path && allowance.word == rule.word);
            match allowed.next() {
                Some(allowance) => allowance.is_used = true,
                None => found.push(format!(
                    "{}:{}: \"{}\"; write: {}",
                    document.path, tokens[at].line, rule.word, rule.instead
                )),
            }
        }
    }
    found
}

/// A word, or a mark that separates phrases.
struct Token {
    word: String,
    line: usize,
}

/// Splits a document into words. Marks of comments vanish, so that a phrase may continue on the next line.
fn tokens(document: &Document, kind: Kind) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in document.lines() {
        let line = line.trim_start().trim_start_matches(['/', '!', '*', '#', '>']);
        let parts: Vec<&str> = match document.is_markdown() && kind == Kind::Prose {
            true => spans(line).map(|(is_code, part)| if is_code { "`" } else { part }).collect(),
            false => vec![line],
        };
        for part in parts {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let mut rest = part.trim();
            while let Some(first) = rest.chars().next() {
                let length = match rest.find(|c| !is_word(c)) {
                    Some(0) => first.len_utf8(),
                    Some(end) => end,
                    None => rest.len(),
                };
                let word = &rest[..length];
                match kind {
                    Kind::Name => tokens.push(Token { word: word.to_owned(), line: number }),
                    Kind::Prose => {
                        let pieces = word.split('_').filter(|piece| !piece.is_empty());
                        tokens.extend(pieces.map(|piece| Token { word: piece.to_lowercase(), line: number }));
                    }
                }
                rest = rest[length..].trim_start();
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "# a comment\nfrob -> the caller\nxu yu zu -> available\nold_ns -> new_ns\n";

    /// Returns what is found in a file.
    fn found_in(path: &str, text: &str) -> Vec<String> {
        let document = Document { path: path.into(), text: text.into() };
        check(&document, &rules(RULES), &mut [])
    }

    #[test]
    fn words_are_found_in_any_case_and_in_names() {
        assert_eq!(found_in("a.rs", "// Frob waits"), ["a.rs:1: \"frob\"; write: the caller"]);
        assert_eq!(found_in("a.rs", "\nfn frob_asks_pays() {}"), ["a.rs:2: \"frob\"; write: the caller"]);
        assert_eq!(found_in("a.rs", "// frobs, afrob, Frobbing"), [""; 0]);
    }

    #[test]
    fn phrases_continue_on_the_next_line_and_end_at_marks() {
        assert_eq!(found_in("a.rs", "/// page xu yu\n/// zu here").len(), 1);
        assert_eq!(found_in("a.rs", "fn page_xu_yu_zu() {}").len(), 1);
        assert_eq!(found_in("a.rs", "// xu yu, zu").len(), 0);
    }

    #[test]
    fn names_are_compared_as_they_are() {
        assert_eq!(found_in("a.rs", "let old_ns = 1;").len(), 1);
        assert_eq!(found_in("a.md", "the `old_ns` of a queue").len(), 1);
        assert_eq!(found_in("a.rs", "let old_ns_max = 1; OLD_NS").len(), 0);
    }

    #[test]
    fn code_in_markdown_is_no_prose() {
        assert_eq!(found_in("a.md", "The command `frob` and\n```\nfrob\n```\n").len(), 0);
        assert_eq!(found_in("a.md", "Frob waits").len(), 1);
    }

    #[test]
    fn allowance_is_for_one_file_and_marked_when_used() {
        let mut allowances = allowances("a.rs: frob # it is a command\nb.rs: frob\n");
        let document = Document { path: "a.rs".into(), text: "frob".into() };
        assert_eq!(check(&document, &rules(RULES), &mut allowances), [""; 0]);
        assert_eq!(allowances.iter().map(|allowance| allowance.is_used).collect::<Vec<_>>(), [true, false]);
    }
}
