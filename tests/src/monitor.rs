//! QEMU's monitor, which acts on a machine from outside.

use crate::shape::Shape;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// QEMU's human monitor.
#[derive(Debug)]
pub struct Monitor {
    path: PathBuf,
}

impl Monitor {
    /// Returns `shape` with a monitor, and the monitor. `test` distinguishes it from those of other tests.
    #[must_use]
    pub fn attach(shape: Shape, test: &str) -> (Shape, Self) {
        let path = PathBuf::from(format!("/tmp/ktask-monitor-{}-{test}", std::process::id()));
        let option: &'static str = format!("unix:{},server=on,wait=off", path.display()).leak();
        let extra = [shape.extra, &["-monitor", option]].concat();
        (Shape { extra: extra.leak(), ..shape }, Self { path })
    }

    /// Types `command`, and waits until QEMU has executed it.
    ///
    /// # Errors
    /// When the monitor cannot be reached, or refuses the command.
    pub fn run(&self, command: &str) -> Result<(), String> {
        let cannot = |error: std::io::Error| format!("QEMU's monitor at {}: {error}", self.path.display());
        let mut stream = UnixStream::connect(&self.path).map_err(cannot)?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(cannot)?;
        wait_for_prompt(&mut stream).map_err(cannot)?;
        writeln!(stream, "{command}").map_err(cannot)?;
        let answer = wait_for_prompt(&mut stream).map_err(cannot)?;
        match answer.contains("Error") {
            true => Err(format!("QEMU refuses `{command}`: {answer}")),
            false => Ok(()),
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Fails if QEMU has removed it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads up to the monitor's prompt.
fn wait_for_prompt(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"(qemu) ") {
        stream.read_exact(&mut byte)?;
        text.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
