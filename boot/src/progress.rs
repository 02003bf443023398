//! What a run is at, and how far: the kernel's log, and at a terminal one line below it.

mod stage;

use crate::run::Follower;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::record::Record;
use stage::Stage;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A run that ends sooner shows no progress.
const DELAY: Duration = Duration::from_secs(1);

/// Prints the log, unless the user wants it quiet, and shows the progress if standard error is a terminal.
pub struct Progress {
    quiet: bool,
    start: Instant,
    stage: Stage,
    bar: Option<Bar>,
}

/// The line at the terminal.
struct Bar {
    bar: ProgressBar,
    is_shown: bool,
}

impl Progress {
    /// Returns the progress of a run that begins.
    pub fn new(quiet: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::hidden());
            Bar { bar, is_shown: false }
        });
        Self { quiet, start: Instant::now(), stage: Stage::default(), bar }
    }

    fn show(&mut self) {
        let Some(Bar { bar, is_shown }) = &mut self.bar else { return };
        if !*is_shown && self.start.elapsed() >= DELAY {
            *is_shown = true;
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        if *is_shown {
            let (done, of) = self.stage.parts();
            bar.set_style(style(of > 0));
            bar.set_length(of.max(1));
            bar.set_position(done);
            bar.set_message(self.stage.text().to_string());
        }
    }
}

/// Returns the look of the line; a run whose parts are not known has no bar.
fn style(has_parts: bool) -> ProgressStyle {
    let template = match has_parts {
        true => "{spinner} {elapsed} [{bar:24}] {pos}/{len} {wide_msg}",
        false => "{spinner} {elapsed} {wide_msg}",
    };
    ProgressStyle::with_template(template).expect("the template is constant and valid").progress_chars("=> ")
}

impl Follower for Progress {
    fn line(&mut self, line: &str) {
        self.stage.line(line);
        if !self.quiet {
            // A closed pipe is no reason to panic.
            let print = || drop(writeln!(std::io::stdout(), "{line}"));
            match self.bar.as_ref().filter(|bar| bar.is_shown) {
                Some(Bar { bar, .. }) => bar.suspend(print),
                None => print(),
            }
        }
        self.show();
    }

    fn record(&mut self, record: &Record<String>) {
        self.stage.record(record);
        self.show();
    }

    fn tick(&mut self) {
        self.show();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Bar { bar, .. }) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
