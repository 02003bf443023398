//! Spelling, by the dictionary of frequent mistakes that `typos` uses.

use std::borrow::Cow;
use std::collections::BTreeSet;

use typos::tokens::{Case, Identifier, Tokenizer, Word};
use typos::{Dictionary, Status};
use unicase::UniCase;

use crate::repository::Document;
use crate::words::entries;

/// The dictionary, and the terms that it does not know.
pub struct Speller {
    terms: BTreeSet<String>,
}

impl Speller {
    /// Reads terms, one a line.
    pub fn new(terms: &str) -> Self {
        Self { terms: entries(terms).map(str::to_lowercase).collect() }
    }

    /// Returns the mistakes in a document.
    pub fn check(&self, document: &Document) -> Vec<String> {
        let tokenizer = Tokenizer::new();
        let mut found = Vec::new();
        for (index, line) in document.text.lines().enumerate() {
            for typo in typos::check_str(line, &tokenizer, self) {
                let better = match &typo.corrections {
                    Status::Corrections(words) => words.join(", "),
                    _ => "?".into(),
                };
                found.push(format!("{}:{}: {} -> {better}", document.path, index + 1, typo.typo));
            }
        }
        found
    }
}

impl Dictionary for Speller {
    fn correct_ident<'s>(&'s self, ident: Identifier<'_>) -> Option<Status<'s>> {
        self.terms.contains(&ident.token().to_lowercase()).then_some(Status::Valid)
    }

    fn correct_word<'s>(&'s self, word: Word<'_>) -> Option<Status<'s>> {
        // Digits are no words, and parts of one or two letters say nothing.
        if word.case() == Case::None || word.token().len() < 3 {
            return None;
        }
        if self.terms.contains(&word.token().to_lowercase()) {
            return Some(Status::Valid);
        }
        let corrections = typos_dict::WORD.find(&UniCase::new(word.token()))?;
        Some(Status::Corrections(corrections.iter().map(|correction| Cow::Borrowed(*correction)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the mistakes in a line.
    fn mistakes_in(text: &str) -> Vec<String> {
        Speller::new("wich # a place\n").check(&Document { path: "a.rs".into(), text: text.into() })
    }

    #[test]
    fn mistakes_are_found_in_text_and_names() {
        assert_eq!(mistakes_in("\n// the recieved page"), ["a.rs:2: recieved -> received"]);
        assert_eq!(mistakes_in("fn page_recieved() {}"), ["a.rs:1: recieved -> received"]);
        assert_eq!(mistakes_in("struct PageRecieved;"), ["a.rs:1: Recieved -> received"]);
    }

    #[test]
    fn terms_and_right_words_pass() {
        assert_eq!(mistakes_in("a received page, and wich; Wich"), [""; 0]);
        assert_eq!(mistakes_in("0xdeadbeef 0x1fo"), [""; 0]);
    }
}
