//! The ring: numbers and wrapping one by one, then under every interleaving through
//! the loom models in `loom.rs`, then with real threads.
#![cfg(not(loom))]

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use trace::ring::{Missing, Ring, Slot, WORDS};

fn slots(count: usize) -> Vec<Slot> {
    (0..count).map(|_| Slot::new()).collect()
}

/// Words that show it when those of two events are mixed.
fn words(number: u64) -> [u64; WORDS] {
    core::array::from_fn(|at| number * WORDS as u64 + at as u64)
}

#[test]
fn only_powers_of_two_make_a_ring() {
    for (count, is_sound) in [(0, false), (1, true), (2, true), (3, false), (4, true), (6, false)] {
        assert_eq!(Ring::new(&slots(count)).is_some(), is_sound, "{count}");
    }
}

proptest! {
    /// Against a queue that drops its first when it is full.
    #[test]
    fn the_last_so_many_events_are_there(order in 0..6u32, count in 0..200u64) {
        let slots = slots(1 << order);
        let ring = Ring::new(&slots).unwrap();
        let mut model = VecDeque::new();
        for number in 0..count {
            ring.push(words(number));
            model.push_back(number);
            if model.len() as u64 > ring.capacity() {
                model.pop_front();
            }
            prop_assert_eq!(ring.written(), number + 1);
            prop_assert_eq!(ring.oldest(), model[0]);
        }
        for number in 0..count + 2 {
            let expected = match number {
                _ if model.contains(&number) => Ok(words(number)),
                _ if number < count => Err(Missing::Overwritten),
                _ => Err(Missing::NotYet),
            };
            prop_assert_eq!(ring.read(number), expected);
        }
    }
}

#[test]
fn real_threads_see_whole_events_or_none() {
    const EVENTS: u64 = 300_000;
    let slots = slots(8);
    let ring = Ring::new(&slots).unwrap();
    let is_done = AtomicBool::new(false);
    let (whole, overwritten) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut whole, mut overwritten) = (0u64, 0u64);
            while !is_done.load(Ordering::Relaxed) {
                for number in ring.oldest()..ring.written() {
                    match ring.read(number) {
                        Ok(read) => {
                            assert_eq!(read, words(number));
                            whole += 1;
                        }
                        Err(missing) => {
                            assert_eq!(missing, Missing::Overwritten);
                            overwritten += 1;
                        }
                    }
                }
            }
            (whole, overwritten)
        });
        for number in 0..EVENTS {
            ring.push(words(number));
            // So that the reader gets something to see, also where both share one core.
            if number % 1000 == 0 {
                thread::yield_now();
            }
        }
        is_done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    eprintln!("{whole} events read, {overwritten} overwritten before");
    assert!(whole > 0);
}

/// Runs `tests/loom.rs`, which needs the crate built with `--cfg loom`, by a
/// cargo of its own: own target directory, and none of what the outer cargo put
/// into the environment.
#[test]
fn loom_models_pass() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    for (name, _) in std::env::vars_os() {
        if is_cargos(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .args(["test", "--quiet", "--package", "trace", "--test", "loom"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("loom"))
        .env("RUSTFLAGS", "--cfg loom")
        .output()
        .expect("cargo runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("test result: ok.") && !said.contains("ok. 0 passed"), "models should run: {said}");
}

/// Whether a variable comes from the outer cargo. Those that say where cargo
/// and its packages are come from the user and stay.
fn is_cargos(name: &str) -> bool {
    const USERS: [&str; 9] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "RUSTUP_",
        "CARGO_TERM_",
        "RUST_BACKTRACE",
    ];
    let of_cargo = name.starts_with("CARGO") || name.starts_with("RUST");
    of_cargo && !USERS.iter().any(|users| name.starts_with(users)) || name == "LD_LIBRARY_PATH"
}
