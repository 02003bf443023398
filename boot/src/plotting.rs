//! What all plots have in common.

use plotters::coord::CoordTranslate;
use plotters::prelude::*;

/// Width and height of a plot.
pub const SIZE_PIXELS: (u32, u32) = (900, 540);

/// Font of all text.
pub const FONT: &str = "sans-serif";

/// Draws the labels of the series, in a corner where rising curves are not.
///
/// # Errors
///
/// When the backend fails.
pub fn draw_legend<'a, B, C>(
    context: &mut ChartContext<'a, B, C>,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
where
    B: DrawingBackend + 'a,
    C: CoordTranslate,
{
    context
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, 14))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}
