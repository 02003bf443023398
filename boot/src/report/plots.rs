//! Plots of benchmarks that were measured for several `n`, on a logarithmic axis of `n`.

use crate::plotting::{FONT, SIZE_PIXELS, draw_legend};
use plotters::prelude::*;
use protocol::record::Record;
use std::collections::BTreeMap;
use std::error::Error;

/// A plot of one benchmark, in SVG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// Name of the file.
    pub file_name: String,
    /// Content of the file.
    pub svg: String,
}

/// Content of one plot: series of one benchmark with the same quantity and unit.
#[derive(Debug)]
struct Chart<'a> {
    benchmark: &'a str,
    of: &'a str,
    unit: &'a str,
    series: BTreeMap<&'a str, Series>,
}

/// Values by `n`; one `n` may have several.
type Series = Vec<(u64, u64)>;

/// Plots each benchmark that was measured for at least two different `n`. The first two parts of a name are the benchmark:
/// `sched/helper-start/first` and `sched/helper-start/all` share a plot.
///
/// # Errors
///
/// When a plot cannot be drawn.
pub fn plots(records: &[Record<String>]) -> Result<Vec<Plot>, Box<dyn Error>> {
    charts(records).iter().map(|chart| Ok(Plot { file_name: chart.file_name(), svg: draw(chart)? })).collect()
}

fn charts(records: &[Record<String>]) -> Vec<Chart<'_>> {
    let mut charts = BTreeMap::new();
    for record in records {
        let Record::Bench { name, n, of, value, unit, .. } = record else { continue };
        let benchmark = name.match_indices('/').nth(1).map_or(&name[..], |(end, _)| &name[..end]);
        let chart = charts.entry((benchmark, &of[..], &unit[..])).or_insert_with(|| Chart {
            benchmark,
            of,
            unit,
            series: BTreeMap::new(),
        });
        chart.series.entry(name).or_default().push((*n, *value));
    }
    for chart in charts.values_mut() {
        chart.series.values_mut().for_each(|points| points.sort_unstable());
        // Sorted: with two different `n`, the first differs from the last.
        chart.series.retain(|_, points| points[0].0 < points[points.len() - 1].0);
    }
    charts.into_values().filter(|chart| !chart.series.is_empty()).collect()
}

impl Chart<'_> {
    fn file_name(&self) -> String {
        let parts = ["bench", self.benchmark, self.unit, "by", self.of];
        let named = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        // Names come from the kernel: they must not lead out of the directory.
        named.replace(|c: char| !c.is_ascii_alphanumeric(), "-") + ".svg"
    }

    fn points(&self) -> impl Iterator<Item = (u64, u64)> {
        self.series.values().flatten().copied()
    }
}

const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(148, 103, 189)];

fn draw(chart: &Chart<'_>) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    // 0 has no logarithm.
    let shown = |n: u64| n.max(1) as f64;
    let least = chart.points().map(|(n, _)| n).min().unwrap_or(1);
    let most = chart.points().map(|(n, _)| n).max().unwrap_or(1);
    let top = chart.points().map(|(_, value)| value).max().unwrap_or(0).max(1) as f64 * 1.1;
    {
        let area = SVGBackend::with_string(&mut svg, SIZE_PIXELS).into_drawing_area();
        area.fill(&WHITE)?;
        let mut context = ChartBuilder::on(&area)
            .caption(chart.benchmark, (FONT, 22))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d((shown(least)..shown(most) * 1.05).log_scale(), 0.0..top)?;
        context
            .configure_mesh()
            .x_desc(if chart.of.is_empty() { "n" } else { chart.of })
            .y_desc(chart.unit)
            .axis_desc_style((FONT, 16))
            .x_label_formatter(&|n| format!("{n:.0}"))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for ((name, points), colour) in chart.series.iter().zip(COLOURS.iter().cycle()) {
            let line = points.iter().map(|(n, value)| (shown(*n), *value as f64));
            context
                .draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
            context.draw_series(line.map(|point| Circle::new(point, 4, colour.filled())))?;
            // On this axis, logarithmic growth is a straight line.
            let ends = [points[0], points[points.len() - 1]].map(|(n, value)| (shown(n), value as f64));
            let pale = colour.mix(0.4);
            context
                .draw_series(DashedLineSeries::new(ends, 6, 4, pale.into()))?
                .label("a + b log n through its ends")
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], pale));
        }
        draw_legend(&mut context)?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests;
