//! The plot of a simulation: speedup by threads, in SVG.

use super::description::Description;
use super::outcome::Outcome;
use crate::plotting::{FONT, SIZE_PIXELS, draw_legend};
use plotters::prelude::*;
use std::error::Error;

const FIXED: RGBColor = RGBColor(31, 119, 180);
const GOVERNED: RGBColor = RGBColor(214, 39, 40);

/// Draws the speedups.
///
/// # Errors
///
/// When the plot cannot be drawn.
pub fn draw(description: &Description, outcome: &Outcome) -> Result<String, Box<dyn Error>> {
    let one_ns = outcome.fixed[0].wall_ns as f64;
    let points: Vec<_> =
        outcome.fixed.iter().map(|run| (run.threads as f64, one_ns / run.wall_ns as f64)).collect();
    let governed = (outcome.governed.threads as f64, one_ns / outcome.governed.wall_ns as f64);
    let most = description.cpus() as f64;
    let top = points.iter().map(|point| point.1).fold(governed.1, f64::max) * 1.15;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE_PIXELS).into_drawing_area();
        area.fill(&WHITE)?;
        let mut context = ChartBuilder::on(&area)
            .caption(&description.name, (FONT, 22))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d(0.0..most.max(2.0) * 1.02, 0.0..top)?;
        context
            .configure_mesh()
            .x_desc("threads")
            .y_desc("speedup over one thread")
            .axis_desc_style((FONT, 16))
            .x_label_formatter(&|threads| format!("{threads:.0}"))
            .y_label_formatter(&|speedup| format!("{speedup:.1}"))
            .light_line_style(TRANSPARENT)
            .draw()?;
        let ideal = most.min(top);
        let pale = BLACK.mix(0.3);
        context
            .draw_series(DashedLineSeries::new([(0.0, 0.0), (ideal, ideal)], 6, 4, pale.into()))?
            .label("in proportion to threads")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], pale));
        context
            .draw_series(LineSeries::new(points.clone(), FIXED.stroke_width(2)))?
            .label("fixed threads")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], FIXED.stroke_width(2)));
        context.draw_series(points.into_iter().map(|point| Circle::new(point, 4, FIXED.filled())))?;
        context
            .draw_series([Circle::new(governed, 7, GOVERNED.filled())])?
            .label("governor, at its last count")
            .legend(|(x, y)| Circle::new((x + 10, y), 5, GOVERNED.filled()));
        draw_legend(&mut context)?;
        area.present()?;
    }
    Ok(svg)
}
