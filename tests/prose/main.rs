//! Checks the words, the spelling and the links of the repository's sources and documents.
//!
//! `words.txt` lists words that are not used and what to write instead; `allowed.txt` lists the files that may use one
//! all the same; `terms.txt` lists words that the spelling dictionary takes for mistakes. The changelog and the decisions
//! are history: their words are not checked.

mod links;
mod repository;
mod spelling;
mod words;

use repository::Repository;

fn fail_with(found: &[String], what: &str) {
    assert!(found.is_empty(), "{} {what}:\n{}", found.len(), found.join("\n"));
}

#[test]
fn words_are_those_of_the_glossary() {
    let repository = Repository::read();
    let rules = words::rules(include_str!("words.txt"));
    let mut allowances = words::allowances(include_str!("allowed.txt"));
    let mut found = Vec::new();
    for document in repository.documents.iter().filter(|document| !document.is_history()) {
        found.extend(words::check(document, &rules, &mut allowances));
    }
    let unused = allowances.iter().filter(|allowance| !allowance.is_used);
    found.extend(unused.map(|allowance| {
        format!("tests/prose/allowed.txt: {} does not use \"{}\"", allowance.path, allowance.word)
    }));
    fail_with(&found, "words to replace");
}

#[test]
fn spelling_is_right() {
    let repository = Repository::read();
    let speller = spelling::Speller::new(include_str!("terms.txt"));
    // The tests of the speller have mistakes.
    let documents = repository.documents.iter().filter(|document| document.path != "tests/prose/spelling.rs");
    let found: Vec<_> = documents.flat_map(|document| speller.check(document)).collect();
    fail_with(&found, "spelling mistakes");
}

#[test]
fn links_and_paths_exist() {
    let repository = Repository::read();
    let documents = repository.documents.iter().filter(|document| document.is_markdown());
    let found: Vec<_> = documents.flat_map(|document| links::check(document, &repository)).collect();
    fail_with(&found, "broken links or paths");
}
