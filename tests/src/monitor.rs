//! QEMU's monitor: what is done to a machine from outside.

use crate::shape::Shape;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// QEMU's monitor, as a person uses it.
#[derive(Debug)]
pub struct Monitor {
    path: PathBuf,
}

impl Monitor {
    /// One for `shape`, and the shape that has it. `test` tells it from those of other tests.
    #[must_use]
    pub fn attach(shape: Shape, test: &str) -> (Shape, Self) {
        let path = PathBuf::from(format!("/tmp/ktask-monitor-{}-{test}", std::process::id()));
        let option: &'static str = format!("unix:{},server=on,wait=off", path.display()).leak();
        let extra = [shape.extra, &["-monitor", option]].concat();
        (Shape { extra: extra.leak(), ..shape }, Self { path })
    }

    /// Types `command`, and waits until QEMU has done it.
    ///
    /// # Errors
    /// When the monitor cannot be reached, or refuses the command.
    pub fn run(&self, command: &str) -> Result<(), String> {
        let cannot = |error: std::io::Error| format!("QEMU's monitor at {}: {error}", self.path.display());
        let mut stream = UnixStream::connect(&self.path).map_err(cannot)?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(cannot)?;
        wait_for_prompt(&mut stream).map_err(cannot)?;
        writeln!(stream, "{command}").map_err(cannot)?;
        let said = wait_for_prompt(&mut stream).map_err(cannot)?;
        match said.contains("Error") {
            true => Err(format!("QEMU does not do `{command}`: {said}")),
            false => Ok(()),
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // QEMU may have removed it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads up to the monitor's prompt.
fn wait_for_prompt(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"(qemu) ") {
        stream.read_exact(&mut byte)?;
        said.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}
