//! Hands the linker script to the linker, for the kernel's own target only, and
//! refuses to build what would not boot.

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let directory = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets the manifest directory");
        println!("cargo::rustc-link-arg-bins=-T{directory}/linker.ld");
        // Without the optimiser every value that is passed on is copied on the stack, memory maps and tables among
        // them: no boot stack of a sensible size holds that.
        if std::env::var("OPT_LEVEL").as_deref() == Ok("0") {
            println!(
                "cargo::error=opt-level is 0, the kernel needs 1 or more: profile kernel or kernel-debug"
            );
        }
    }
}
