//! Hands the linker script to the linker, for the kernel's own target only, lists the timed jobs, and
//! refuses to build what would not boot.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The folder in which each file is a timed job.
const TIMED_JOBS: &str = "src/jobs/timed";

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={TIMED_JOBS}");
    let directory =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets the manifest directory"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets the output directory"));
    match modules_in(&directory.join(TIMED_JOBS)) {
        Ok(modules) => {
            fs::write(out.join("timed_jobs.rs"), modules).expect("the output directory is writable");
        }
        Err(error) => println!("cargo::error=kernel/{TIMED_JOBS}: {error}"),
    }
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo::rustc-link-arg-bins=-T{}/linker.ld", directory.display());
        // Without the optimiser every value that is passed on is copied on the stack, memory maps and tables among
        // them: no boot stack of a sensible size holds that.
        if env::var("OPT_LEVEL").as_deref() == Ok("0") {
            println!(
                "cargo::error=opt-level is 0, the kernel needs 1 or more: profile kernel or kernel-debug"
            );
        }
    }
}

/// Returns a line that declares a module for each file in `folder` but `mod.rs`.
fn modules_in(folder: &Path) -> Result<String, io::Error> {
    let paths: Result<Vec<PathBuf>, io::Error> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths?;
    paths.retain(|path| {
        path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("mod.rs")
    });
    paths.sort();
    paths.iter().map(|path| module(path)).collect()
}

fn module(path: &Path) -> Result<String, io::Error> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    if !name.starts_with(is_letter) || !name.chars().all(|c| is_letter(c) || c.is_ascii_digit()) {
        return Err(io::Error::other(format!(
            "`{name}.rs` names no module: lower-case letters, digits and underscores do"
        )));
    }
    Ok(format!("#[path = {path:?}]\nmod {name};\n"))
}
