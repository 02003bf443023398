//! Set-up on fake systems.

use super::*;
use crate::system::fake::{Effect, Fake};
use protocol::exit::HostStatus;

const INSTALL_ALL: &str =
    "apt-get install -y --no-install-recommends qemu-system-x86 rustc-web cargo-web rust-web-src";

/// Returns a Debian system with only a linker.
fn bare() -> Fake {
    let fake = Fake::with_path("/usr/bin");
    for program in ["apt-get", "apt-cache", "ld"] {
        fake.file(format!("/usr/bin/{program}"));
    }
    fake.says(
        "apt-cache policy rustc-web",
        "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n",
    );
    fake
}

fn with_qemu(fake: &Fake) {
    fake.file("/usr/bin/qemu-system-x86_64");
    fake.says("/usr/bin/qemu-system-x86_64 --version", "QEMU emulator version 7.2.22 (Debian)\nCopyright\n");
}

fn with_toolchain(fake: &Fake) {
    crate::toolchain::tests::install(fake, "/usr", "1.96.0", true);
}

/// Returns the effect of installing everything.
fn everything() -> Effect {
    let model = Fake::default();
    with_qemu(&model);
    with_toolchain(&model);
    let answers = model.answers.borrow();
    Effect {
        success: true,
        files: model.files.borrow().iter().cloned().collect(),
        answers: answers.iter().map(|(line, answer)| (line.clone(), answer.stdout.clone())).collect(),
    }
}

fn performed(fake: &Fake) -> Vec<String> {
    fake.performed.borrow().clone()
}

#[test]
fn complete_system_is_not_changed() {
    let fake = bare();
    with_qemu(&fake);
    with_toolchain(&fake);
    let tools = provide(&fake, None, Consent::ByRule, &What::REQUIRED).unwrap();
    assert_eq!(tools.qemu.unwrap().path, Path::new("/usr/bin/qemu-system-x86_64"));
    assert_eq!(performed(&fake), [""; 0]);
    let text = render(&fake, &examine(&fake, None, &What::REQUIRED).unwrap());
    assert!(text.contains("7.2.22") && text.ends_with("nothing is missing"), "{text}");
}

#[test]
fn root_without_a_terminal_installs_everything_in_one_step() {
    let mut fake = bare();
    fake.root = true;
    fake.effects.insert(INSTALL_ALL.into(), everything());
    provide(&fake, None, Consent::ByRule, &What::REQUIRED).unwrap();
    assert_eq!(performed(&fake), ["apt-get update -qq", INSTALL_ALL]);
    assert_eq!(fake.questions.get(), 0);
}

#[test]
fn root_at_a_terminal_is_asked() {
    for answer in [true, false] {
        let mut fake = bare();
        (fake.root, fake.interactive, fake.answer) = (true, true, answer);
        fake.effects.insert(INSTALL_ALL.into(), everything());
        let outcome = provide(&fake, None, Consent::ByRule, &What::REQUIRED);
        assert_eq!(fake.questions.get(), 1);
        assert_eq!(outcome.is_ok(), answer);
        assert_eq!(performed(&fake).is_empty(), !answer);
    }
}

#[test]
fn ci_and_an_option_are_consent() {
    for (consent, ci) in [(Consent::Given, false), (Consent::ByRule, true)] {
        let mut fake = bare();
        (fake.root, fake.interactive, fake.answer) = (true, true, false);
        if ci {
            fake.vars.insert("CI".into(), "true".into());
        }
        fake.effects.insert(INSTALL_ALL.into(), everything());
        provide(&fake, None, consent, &What::REQUIRED).unwrap();
        assert_eq!(fake.questions.get(), 0);
    }
}

#[test]
fn ordinary_users_get_the_exact_command() {
    for interactive in [true, false] {
        let mut fake = bare();
        (fake.interactive, fake.answer) = (interactive, true);
        fake.vars.insert("CI".into(), "true".into());
        let failure = provide(&fake, None, Consent::Given, &What::REQUIRED).unwrap_err();
        assert_eq!(failure.status, HostStatus::Usage);
        let command = format!("    sudo apt-get update && sudo {INSTALL_ALL}");
        assert_eq!(failure.message.lines().last(), Some(command.as_str()), "{failure}");
        assert_eq!((performed(&fake).len(), fake.questions.get()), (0, 0));
    }
}

#[test]
fn ordinary_users_without_package_lists_get_a_command_that_updates_them() {
    let fake = bare();
    fake.says("apt-cache policy rustc-web", "");
    let failure = provide(&fake, None, Consent::ByRule, &What::REQUIRED).unwrap_err();
    assert!(failure.message.ends_with(&format!("sudo apt-get update && sudo {INSTALL_ALL}")), "{failure}");
}

#[test]
fn package_lists_are_refreshed_before_the_choice() {
    let mut fake = bare();
    fake.root = true;
    fake.says("apt-cache policy rustc-web", "rustc-web:\n  Candidate: 1.85.0+dfsg3-1~deb12u3\n");
    let newer = "rustc-web:\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n".to_string();
    let update =
        Effect { success: true, files: vec![], answers: vec![("apt-cache policy rustc-web".into(), newer)] };
    fake.effects.insert("apt-get update -qq".into(), update);
    fake.effects.insert(INSTALL_ALL.into(), everything());
    provide(&fake, None, Consent::ByRule, &What::REQUIRED).unwrap();
}

#[test]
fn plain_compiler_package_is_used_if_it_is_new_enough() {
    let fake = bare();
    fake.says("apt-cache policy rustc-web", "");
    fake.says("apt-cache policy rustc", "rustc:\n  Candidate: 1.97.1+dfsg1-2\n");
    with_qemu(&fake);
    let failure = provide(&fake, None, Consent::ByRule, &What::REQUIRED).unwrap_err();
    assert!(failure.message.ends_with("rustc cargo rust-src"), "{failure}");
}

#[test]
fn old_packages_mean_rustup_and_no_partial_installation() {
    let mut fake = bare();
    fake.root = true;
    fake.says("apt-cache policy rustc-web", "rustc-web:\n  Candidate: 1.85.0+dfsg3-1~deb12u3\n");
    let failure = provide(&fake, None, Consent::Given, &What::REQUIRED).unwrap_err();
    assert_eq!(failure.status, HostStatus::Usage);
    assert!(failure.message.contains("rustup toolchain install 1.96.0"), "{failure}");
    assert!(failure.message.contains("install qemu-system-x86"), "{failure}");
    assert_eq!(performed(&fake), ["apt-get update -qq"]);
}

#[test]
fn other_systems_get_a_list() {
    let mut fake = Fake::with_path("/usr/bin");
    fake.root = true;
    let failure = provide(&fake, None, Consent::Given, &What::REQUIRED).unwrap_err();
    for part in ["qemu-system-x86_64", "rustup toolchain install", "binutils"] {
        assert!(failure.message.contains(part), "{part} is not in {failure}");
    }
    assert_eq!(performed(&fake), [""; 0]);
}

#[test]
fn without_network_the_command_is_named_and_the_status_is_2() {
    let mut fake = bare();
    fake.root = true;
    let failure = provide(&fake, None, Consent::Given, &What::REQUIRED).unwrap_err();
    assert_eq!(failure.status, HostStatus::Usage);
    assert!(failure.message.starts_with("apt-get install failed"), "{failure}");
    assert!(failure.message.ends_with(INSTALL_ALL), "{failure}");
}

#[test]
fn ineffective_installation_is_noticed() {
    let mut fake = bare();
    fake.root = true;
    fake.effects.insert(INSTALL_ALL.into(), Effect { success: true, ..Effect::default() });
    let failure = provide(&fake, None, Consent::Given, &What::REQUIRED).unwrap_err();
    assert!(failure.message.starts_with("the packages are installed, but missing: QEMU"), "{failure}");
}

#[test]
fn broken_qemu_counts_as_missing_with_a_reason() {
    let fake = bare();
    fake.file("/usr/bin/qemu-system-x86_64");
    with_toolchain(&fake);
    let text = render(&fake, &examine(&fake, None, &What::REQUIRED).unwrap());
    assert!(text.contains("cannot be started"), "{text}");
    assert!(text.contains("sudo apt-get install -y --no-install-recommends qemu-system-x86"), "{text}");
}

#[test]
fn only_wanted_prerequisites_are_required() {
    let fake = bare();
    with_toolchain(&fake);
    assert!(provide(&fake, None, Consent::ByRule, &[What::Toolchain, What::Linker]).is_ok());
    let failure = provide(&fake, None, Consent::ByRule, &[What::Qemu]).unwrap_err();
    assert!(failure.message.ends_with("--no-install-recommends qemu-system-x86"), "{failure}");
}

/// Prerequisites of the command `clippy`.
const LINT: [What; 2] = [What::Toolchain, What::Clippy];

#[test]
fn clippy_must_match_the_version_of_the_compiler() {
    let fake = bare();
    with_toolchain(&fake);
    fake.says("apt-cache policy rust-web-clippy", "rust-web-clippy:\n  Candidate: 1.85.0+dfsg3-1\n");
    fake.says("apt-cache policy rust-clippy", "rust-clippy:\n  Candidate: 1.96.0-1\n");
    let failure = provide(&fake, None, Consent::ByRule, &LINT).unwrap_err();
    assert!(failure.message.ends_with("--no-install-recommends rust-clippy"), "{failure}");
    for program in ["cargo-clippy", "clippy-driver"] {
        fake.file(format!("/usr/bin/{program}"));
    }
    assert!(provide(&fake, None, Consent::ByRule, &LINT).is_ok());
}

#[test]
fn clippy_comes_with_the_compiler_if_both_are_missing() {
    let failure = provide(&bare(), None, Consent::ByRule, &LINT).unwrap_err();
    assert!(failure.message.ends_with("rustc-web cargo-web rust-web-src rust-web-clippy"), "{failure}");
}

#[test]
fn clippy_of_a_rustup_toolchain_comes_from_rustup() {
    let fake = Fake::with_path("/usr/bin:/opt/rust-1.97/bin");
    for program in ["apt-get", "apt-cache"] {
        fake.file(format!("/usr/bin/{program}"));
    }
    crate::toolchain::tests::install(&fake, "/opt/rust-1.97", "1.97.0", true);
    let failure = provide(&fake, None, Consent::ByRule, &LINT).unwrap_err();
    assert!(failure.message.ends_with("rustup component add clippy --toolchain rust-1.97"), "{failure}");
}

#[test]
fn main_job_needs_no_clippy() {
    let fake = bare();
    with_qemu(&fake);
    with_toolchain(&fake);
    assert!(provide(&fake, None, Consent::ByRule, &What::REQUIRED).is_ok());
    let text = render(&fake, &examine(&fake, None, &What::REQUIRED).unwrap());
    assert!(text.contains("optional") && text.ends_with("nothing is missing"), "{text}");
}

#[test]
fn named_qemu_replaces_an_installed_one() {
    let fake = bare();
    with_toolchain(&fake);
    fake.file("/q/qemu");
    fake.says("/q/qemu --version", "QEMU emulator version 10.0.2\n");
    let named = Some(Path::new("/q/qemu"));
    let tools = provide(&fake, named, Consent::ByRule, &What::REQUIRED).unwrap();
    let text = render(&fake, &tools);
    assert!(text.contains("/q/qemu (10.0.2)") && text.ends_with("nothing is missing"), "{text}");
    // A missing program that the user named is not replaced by a package.
    let mut fake = bare();
    fake.root = true;
    let failure = provide(&fake, named, Consent::Given, &What::REQUIRED).unwrap_err();
    assert!(failure.message.starts_with("--qemu /q/qemu is not usable"), "{failure}");
    assert_eq!(performed(&fake), [""; 0]);
}

#[test]
fn command_without_qemu_works_with_a_bad_name_of_one() {
    let mut fake = bare();
    with_toolchain(&fake);
    fake.vars.insert("KTASK_QEMU".into(), "/nowhere".into());
    assert!(provide(&fake, None, Consent::ByRule, &[What::Toolchain, What::Linker]).is_ok());
    let failure = provide(&fake, None, Consent::ByRule, &What::REQUIRED).unwrap_err();
    assert!(failure.message.starts_with("KTASK_QEMU=/nowhere is not usable"), "{failure}");
}

#[test]
fn optional_prerequisites_are_listed_with_their_packages_and_not_installed() {
    let mut fake = bare();
    fake.root = true;
    with_qemu(&fake);
    with_toolchain(&fake);
    fake.says("apt-cache policy rust-web-llvm", "rust-web-llvm:\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n");
    fake.says("apt-cache depends rust-web-llvm", "rust-web-llvm\n  Depends: libc6\n  Depends: llvm-22\n");
    fake.says("apt-cache policy rust-web-clippy", "rust-web-clippy:\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n");
    provide(&fake, None, Consent::Given, &What::REQUIRED).unwrap();
    assert_eq!(performed(&fake), [""; 0]);
    let text = render(&fake, &examine(&fake, None, &What::ALL).unwrap());
    for package in [
        "package rust-web-clippy",
        "packages rust-web-llvm, lld-22",
        "package ovmf",
        "package grub-common",
        "package grub-pc-bin",
        "package grub-efi-amd64-bin",
        "package xorriso",
        "package mtools",
        "package bochs ",
        "package bochsbios",
        "package seabios",
        "package chromium",
    ] {
        assert!(text.contains(&format!("not found; {package}")), "{package} is not in:\n{text}");
    }
    assert!(text.contains("doctor --install --optional") && text.ends_with("nothing is missing"), "{text}");
}

#[test]
fn optional_prerequisites_are_installed_when_they_are_wanted() {
    let mut fake = bare();
    fake.root = true;
    let install = "apt-get install -y --no-install-recommends ovmf xorriso";
    let files =
        ["OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"].map(|name| format!("/usr/share/{name}").into());
    let files = files.into_iter().chain(["/usr/bin/xorriso".into()]).collect();
    fake.effects.insert(install.into(), Effect { success: true, files, answers: Vec::new() });
    provide(&fake, None, Consent::ByRule, &[What::Ovmf, What::Xorriso]).unwrap();
    assert_eq!(performed(&fake), ["apt-get update -qq", install]);
}

#[test]
fn linker_of_a_rustup_toolchain_is_its_own() {
    let fake = Fake::with_path("/opt/rust-1.97/bin");
    crate::toolchain::tests::install(&fake, "/opt/rust-1.97", "1.97.0", true);
    let wanted = [What::UefiLinker];
    let failure = provide(&fake, None, Consent::ByRule, &wanted).unwrap_err();
    assert!(failure.message.contains("a program rust-lld"), "{failure}");
    fake.file("/opt/rust-1.97/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    assert!(provide(&fake, None, Consent::ByRule, &wanted).is_ok());
}

#[test]
fn each_part_of_grub_is_needed_for_an_iso() {
    let fake = bare();
    for file in ["grub-mkrescue", "xorriso", "mformat"] {
        fake.file(format!("/usr/bin/{file}"));
    }
    fake.file("/usr/lib/grub/i386-pc/multiboot2.mod");
    let failure = provide(&fake, None, Consent::ByRule, &What::ISO).unwrap_err();
    assert_eq!(failure.status, HostStatus::Usage);
    assert!(failure.message.ends_with("--no-install-recommends grub-efi-amd64-bin"), "{failure}");
    fake.file("/usr/lib/grub/x86_64-efi/multiboot2.mod");
    assert!(provide(&fake, None, Consent::ByRule, &What::ISO).is_ok());
}
