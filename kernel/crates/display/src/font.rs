//! The glyphs: Noto Sans Mono as rasters of intensities, from the crate `noto-sans-mono-bitmap`.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const WEIGHT: FontWeight = FontWeight::Regular;
const HEIGHT: RasterHeight = RasterHeight::Size16;

/// Width of a glyph in pixels, before it is enlarged.
pub const GLYPH_WIDTH: usize = get_raster_width(WEIGHT, HEIGHT);
/// Height of a glyph in pixels, before it is enlarged.
pub const GLYPH_HEIGHT: usize = HEIGHT.val();

/// The first character with a glyph.
pub const FIRST: u8 = b' ';
/// The last character with a glyph.
pub const LAST: u8 = b'~';
/// Stands for every character without a glyph.
pub const REPLACEMENT: u8 = b'?';

/// A glyph's intensities, row by row.
pub type Glyph = &'static [u8];

const GLYPHS: [Glyph; (LAST - FIRST + 1) as usize] = {
    let mut glyphs: [Glyph; (LAST - FIRST + 1) as usize] = [&[]; _];
    let mut index = 0;
    while index < glyphs.len() {
        let Some(raster) = get_raster((FIRST + index as u8) as char, WEIGHT, HEIGHT) else {
            panic!("the font has no glyph for a printable character");
        };
        assert!(raster.pixels().len() == GLYPH_WIDTH * GLYPH_HEIGHT);
        glyphs[index] = raster.pixels();
        index += 1;
    }
    glyphs
};

/// Returns the glyph of a character, or that of [`REPLACEMENT`].
#[must_use]
pub fn glyph(character: u8) -> Glyph {
    let index = usize::from(character).wrapping_sub(usize::from(FIRST));
    GLYPHS.get(index).copied().unwrap_or(GLYPHS[usize::from(REPLACEMENT - FIRST)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_of_printable_characters_differ() {
        for first in FIRST..=LAST {
            for second in first + 1..=LAST {
                assert_ne!(glyph(first), glyph(second), "{first:#x} and {second:#x}");
            }
        }
    }

    #[test]
    fn other_characters_have_the_replacement() {
        for character in (0..FIRST).chain(LAST + 1..=u8::MAX) {
            assert_eq!(glyph(character), glyph(REPLACEMENT));
        }
        assert!(glyph(b' ').iter().all(|intensity| *intensity == 0));
    }
}
