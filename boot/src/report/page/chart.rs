//! A chart of one quantity by threads, as SVG. Colours come from the page's style.

use super::axis::{round_values, without_zeros};
use maud::{Markup, html};

/// A chart's content.
pub(super) struct Chart<'a> {
    /// What the vertical axis shows.
    pub(super) title: &'a str,
    /// Threads and value, ascending.
    pub(super) points: Vec<(u32, f64)>,
    /// The point of as many threads as help.
    pub(super) auto: Option<(u32, f64)>,
    /// Value on one thread: the ideal line is this many times the threads.
    pub(super) ideal: Option<f64>,
    /// The unit in which values are round.
    pub(super) unit: f64,
    /// Formats a value.
    pub(super) format: &'a dyn Fn(f64) -> String,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 226.0;
/// Room for the values of the vertical axis.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 40.0;

/// From this number of threads on, both axes are logarithmic.
const LOGARITHMIC: u32 = 17;

impl Chart<'_> {
    /// Renders the chart.
    pub(super) fn render(&self) -> Markup {
        let most = self.all().map(|(threads, _)| threads).max().unwrap_or(1).max(2);
        let least = self.all().map(|(threads, _)| threads).min().unwrap_or(1).max(1);
        let values = || self.all().map(|(_, value)| value).filter(|value| value.is_finite());
        // The ideal line may leave the picture if the values stay far below it.
        let measured = values().fold(0.0, f64::max);
        let ideal_top = self.ideal.map_or(0.0, |ideal| ideal * f64::from(most));
        let top = measured.max(ideal_top.min(measured * 2.5)).max(f64::MIN_POSITIVE) * 1.05;
        let is_log = most >= LOGARITHMIC;
        let bottom = values().filter(|value| *value > 0.0).fold(top, f64::min) / 1.3;
        let x = |threads: f64| {
            let (least, most) = (f64::from(least.min(most - 1)), f64::from(most));
            let part = if is_log {
                (threads / least).ln() / (most / least).ln()
            } else {
                (threads - least) / (most - least)
            };
            LEFT + part * (WIDTH - LEFT - RIGHT)
        };
        let y = |value: f64| {
            let part =
                if is_log { (value.max(bottom) / bottom).ln() / (top / bottom).ln() } else { value / top };
            HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
        };
        let line: Vec<_> = self
            .points
            .iter()
            .map(|(threads, value)| format!("{:.1},{:.1}", x(f64::from(*threads)), y(*value)))
            .collect();
        let grid = round_values(bottom / self.unit, top / self.unit, is_log);
        let grid = grid.into_iter().map(|value| value * self.unit);
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.title) {
                text.axis-title x="2" y="16" { (self.title) }
                @for value in grid {
                    @let at = y(value);
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(format!("{at:.1}")) y2=(format!("{at:.1}")) {}
                    text.tick.end x=(LEFT - 8.0) y=(format!("{:.1}", at + 5.0)) { (self.tick(value)) }
                }
                line.base x1=(LEFT) x2=(WIDTH - RIGHT) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM) {}
                @for threads in self.ticks() {
                    text.tick.middle x=(format!("{:.1}", x(f64::from(threads)))) y=(HEIGHT - BOTTOM + 17.0) { (threads) }
                }
                text.tick.end x=(WIDTH - RIGHT) y=(HEIGHT - 4.0) { "threads" }
                @if let Some(ideal) = self.ideal.filter(|ideal| *ideal > 0.0) {
                    // Ends where it reaches the top.
                    @let end = f64::from(most).min(top / ideal);
                    @let start = f64::from(least).min(end);
                    line.ideal x1=(format!("{:.1}", x(start))) y1=(format!("{:.1}", y(ideal * start)))
                        x2=(format!("{:.1}", x(end))) y2=(format!("{:.1}", y(ideal * end))) {}
                }
                polyline.curve points=(line.join(" ")) {}
                @for (threads, value) in &self.points {
                    circle.point cx=(format!("{:.1}", x(f64::from(*threads)))) cy=(format!("{:.1}", y(*value))) r="4" {
                        title { (threads) @if *threads == 1 { " thread: " } @else { " threads: " } ((self.format)(*value)) }
                    }
                }
                @if let Some((threads, value)) = self.auto {
                    @let (x, y) = (x(f64::from(threads)), y(value));
                    path.auto d=(format!("M{x:.1} {:.1}l6 6l-6 6l-6 -6z", y - 6.0)) {
                        title { "as many as help, " (threads) ": " ((self.format)(value)) }
                    }
                }
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = (u32, f64)> {
        self.points.iter().copied().chain(self.auto)
    }

    /// Returns a value of the vertical axis: of its unit, what the title does not say.
    fn tick(&self, value: f64) -> String {
        let text = without_zeros(&(self.format)(value));
        ["pages/s", "/s"].iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(&text).trim_end().into()
    }

    /// Returns the thread counts to write below the axis: all that do not crowd it.
    fn ticks(&self) -> Vec<u32> {
        let step = self.points.len().div_ceil(8).max(1);
        self.points.iter().rev().step_by(step).map(|(threads, _)| *threads).collect()
    }
}
