#!/bin/sh
# Boots the kernel the way `cargo run` does: `./run-qemu.sh [options] [command]`.
# `--print` shows the QEMU command line and stops; `--kernel ELF` boots a file that is already built.
set -eu
root=$(cd "$(dirname "$0")" && pwd)
exec cargo run --quiet --manifest-path "$root/Cargo.toml" --package ktask-boot -- "$@"
