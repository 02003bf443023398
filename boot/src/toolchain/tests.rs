//! The search, on fake systems.

use super::*;
use crate::system::fake::Fake;

/// Adds a toolchain to the system.
pub(crate) fn install(fake: &Fake, sysroot: &str, release: &str, has_source: bool) {
    let rustc = format!("{sysroot}/bin/rustc");
    fake.file(&rustc);
    fake.file(format!("{sysroot}/bin/cargo"));
    if has_source {
        fake.file(format!("{sysroot}/{LIBRARY}/core/src/lib.rs"));
    }
    fake.says(&format!("{rustc} -vV"), &format!("rustc {release}\nrelease: {release}\n"));
    fake.says(&format!("{rustc} --print sysroot"), &format!("{sysroot}\n"));
}

fn found(fake: &Fake) -> String {
    search(fake).unwrap().found.unwrap().rustc.display().to_string()
}

#[test]
fn rustup_comes_before_path_and_the_pinned_version_before_others() {
    let mut fake = Fake::with_path("/usr/bin");
    fake.vars.insert("HOME".into(), "/home/u".into());
    install(&fake, "/usr", "1.96.0", true);
    assert_eq!(found(&fake), "/usr/bin/rustc");
    install(&fake, "/home/u/.rustup/toolchains/nightly-x86_64", "1.99.0-nightly", true);
    assert_eq!(found(&fake), "/home/u/.rustup/toolchains/nightly-x86_64/bin/rustc");
    install(&fake, "/home/u/.rustup/toolchains/stable-x86_64", "1.97.1", true);
    assert_eq!(found(&fake), "/home/u/.rustup/toolchains/stable-x86_64/bin/rustc");
    install(&fake, "/home/u/.rustup/toolchains/1.96.0-x86_64", "1.96.0", true);
    assert_eq!(found(&fake), "/home/u/.rustup/toolchains/1.96.0-x86_64/bin/rustc");
    fake.vars.insert("RUSTUP_HOME".into(), "/nowhere".into());
    assert_eq!(found(&fake), "/usr/bin/rustc");
}

#[test]
fn old_toolchains_and_toolchains_without_source_are_rejected_with_a_reason() {
    let fake = Fake::with_path("/opt/old/bin:/opt/bare/bin:/opt/broken/bin:/opt/good/bin");
    install(&fake, "/opt/old", "1.85.0", true);
    install(&fake, "/opt/bare", "1.97.0", false);
    fake.file("/opt/broken/bin/rustc");
    install(&fake, "/opt/good", "1.97.0", true);
    let search = search(&fake).unwrap();
    assert_eq!(search.found.unwrap().rustc, Path::new("/opt/good/bin/rustc"));
    let reasons: Vec<_> = search.rejected.iter().map(ToString::to_string).collect();
    assert_eq!(reasons[0], "/opt/old/bin/rustc: is version 1.85, 1.96 or later is needed");
    assert!(
        reasons[1].ends_with("/opt/bare/lib/rustlib/src/rust/library is missing (rust-src)"),
        "{reasons:?}"
    );
    assert!(reasons[2].starts_with("/opt/broken/bin/rustc: cannot be started"), "{reasons:?}");
}

#[test]
fn rustup_proxy_is_replaced_by_the_real_compiler() {
    let fake = Fake::with_path("/home/u/.cargo/bin");
    install(&fake, "/opt/real", "1.96.1", true);
    for name in ["rustc", "cargo"] {
        fake.file(format!("/home/u/.cargo/bin/{name}"));
    }
    fake.says("/home/u/.cargo/bin/rustc -vV", "release: 1.96.1\n");
    fake.says("/home/u/.cargo/bin/rustc --print sysroot", "/opt/real\n");
    let toolchain = search(&fake).unwrap().found.unwrap();
    assert_eq!(toolchain.cargo, Path::new("/opt/real/bin/cargo"));
    assert_eq!(toolchain.rustc, Path::new("/opt/real/bin/rustc"));
}

#[test]
fn variable_wins_in_each_form() {
    for wish in ["/opt/wish", "/opt/wish/bin", "/opt/wish/bin/rustc"] {
        let mut fake = Fake::with_path("/usr/bin");
        install(&fake, "/usr", "1.96.0", true);
        install(&fake, "/opt/wish", "1.97.0", true);
        fake.vars.insert(VARIABLE.into(), wish.into());
        assert_eq!(found(&fake), "/opt/wish/bin/rustc", "{wish}");
    }
}

#[test]
fn unusable_named_toolchain_is_an_error_even_if_another_is_usable() {
    let mut fake = Fake::with_path("/usr/bin");
    install(&fake, "/usr", "1.96.0", true);
    install(&fake, "/opt/old", "1.80.0", true);
    for (wish, reason) in [
        ("/opt/old", "KTASK_TOOLCHAIN=/opt/old is not usable: is version 1.80, 1.96 or later is needed"),
        ("/nowhere", "KTASK_TOOLCHAIN=/nowhere is not usable: no rustc there"),
    ] {
        fake.vars.insert(VARIABLE.into(), wish.into());
        let failure = search(&fake).unwrap_err();
        assert_eq!(failure.status, protocol::exit::HostStatus::Usage);
        assert!(failure.message.starts_with(reason), "{failure}");
    }
}

#[test]
fn empty_system_has_no_toolchain() {
    assert_eq!(search(&Fake::default()).unwrap(), Search::default());
}
