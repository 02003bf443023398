//! Checks the imports between source files: no circles, layers in one direction, host and kernel apart.
//!
//! The sources are parsed with `syn`; nothing is built. What counts as an import is defined in [`imports`].

mod circles;
mod imports;
mod layers;
mod manners;
mod packages;
mod sources;
mod tree;

use std::path::{Path, PathBuf};

use imports::{Graph, graph_of};
use sources::Disk;

/// Returns the root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_path_buf()
}

/// Returns the import graph of the crate with the root file `root`, a path relative to the repository.
fn graph(root: &str) -> Graph {
    graph_of(&Disk(repository()), Path::new(root)).unwrap_or_else(|error| panic!("{error}"))
}

/// Fails with every import circle of the crates with these root files.
#[track_caller]
fn assert_no_circles(roots: &[&str]) {
    let found: Vec<String> = roots.iter().flat_map(|root| circles::describe(&graph(root))).collect();
    assert!(found.is_empty(), "{} import circle(s):\n{}", found.len(), found.join("\n"));
}

#[test]
fn kernel_has_no_import_circle() {
    assert_no_circles(&["kernel/src/main.rs"]);
}

#[test]
fn kernel_crates_have_no_import_circle() {
    let mut roots: Vec<String> = std::fs::read_dir(repository().join("kernel/crates"))
        .expect("kernel/crates can be listed")
        .map(|entry| {
            entry.expect("kernel/crates can be listed").file_name().into_string().expect("a UTF-8 name")
        })
        .map(|name| format!("kernel/crates/{name}/src/lib.rs"))
        .collect();
    roots.sort();
    assert!(roots.len() >= 15, "only {} crates", roots.len());
    assert_no_circles(&roots.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn ktask_has_no_import_circle() {
    assert_no_circles(&["ktask/src/lib.rs"]);
}

#[test]
fn boot_has_no_import_circle() {
    assert_no_circles(&["boot/src/lib.rs", "boot/src/main.rs"]);
}

#[test]
fn tests_have_no_import_circle() {
    assert_no_circles(&["tests/src/lib.rs", "tests/boot.rs", "tests/soak.rs", "tests/structure/main.rs"]);
}

#[test]
fn kernel_layers_import_downwards() {
    let found = layers::violations(&graph("kernel/src/main.rs"), Path::new("kernel/src"));
    assert!(found.is_empty(), "{} import(s) against the layers:\n{}", found.len(), found.join("\n"));
}

/// A job that chose its own profile would not leave room for other threads.
#[test]
fn kernel_jobs_are_made_in_one_place() {
    let found =
        manners::violations(&graph("kernel/src/main.rs"), &Disk(repository()), Path::new("kernel/src"));
    assert!(found.is_empty(), "jobs beside jobs::manners::Kind:\n{}", found.join("\n"));
}

#[test]
fn packages_depend_in_one_direction() {
    let found = packages::violations(&repository());
    assert!(found.is_empty(), "{} wrong dependencies:\n{}", found.len(), found.join("\n"));
}
