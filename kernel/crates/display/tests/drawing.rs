//! What a screen draws, on framebuffers of any shape.

use display::backlog::Backlog;
use display::font::{GLYPH_HEIGHT, GLYPH_WIDTH};
use display::format::{Channel, Channels, PixelFormat};
use display::geometry::{Geometry, GeometryError};
use display::grid::Cell;
use display::ink::{BACKGROUND, Ink, Rgb};
use display::read_back::{Mismatch, Picture};
use display::screen::{Pixels, Screen, ScreenError};
use proptest::prelude::*;

/// Bytes of a framebuffer, and the number of bytes written. Fails on writes outside the rows of pixels.
struct Memory {
    geometry: Geometry,
    bytes: Vec<u8>,
    written: usize,
}

impl Memory {
    fn new(geometry: Geometry) -> Self {
        // The loader's picture.
        Self { geometry, bytes: vec![0x5a; geometry.len_bytes()], written: 0 }
    }

    fn pixel(&self, x: usize, y: usize) -> u32 {
        let bytes = self.geometry.format.bytes();
        let mut pixel = [0; 4];
        pixel[..bytes].copy_from_slice(&self.bytes[y * self.geometry.stride_bytes + x * bytes..][..bytes]);
        u32::from_le_bytes(pixel)
    }

    /// Returns the picture in a format of 8 bits for each colour.
    fn rgb(&self) -> Vec<Rgb> {
        let Geometry { width, height, .. } = self.geometry;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        pixels
            .map(|(x, y)| self.pixel(x, y).to_le_bytes())
            .map(|[blue, green, red, _]| [red, green, blue])
            .collect()
    }
}

impl Pixels for Memory {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let row_bytes = self.geometry.width * self.geometry.format.bytes();
        let in_row = offset % self.geometry.stride_bytes;
        assert!(offset / self.geometry.stride_bytes < self.geometry.height, "below the last row");
        assert!(
            in_row + bytes.len() <= row_bytes,
            "{} bytes at {in_row} of a row of {row_bytes}",
            bytes.len()
        );
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
    }
}

fn colour(bytes: usize, shifts_and_bits: [(u8, u8); 3]) -> PixelFormat {
    let channels = shifts_and_bits.map(|(shift, bits)| Channel { shift, bits });
    PixelFormat::new(bytes, Channels::Colour(channels)).unwrap()
}

fn rgb32() -> PixelFormat {
    colour(4, [(16, 8), (8, 8), (0, 8)])
}

fn geometry(width: usize, height: usize) -> Geometry {
    Geometry { width, height, stride_bytes: width * 4, format: rgb32() }
}

/// Draws lines to the end; returns how many steps that took.
fn draw(screen: &mut Screen, memory: &mut Memory, lines: &[(&str, Ink)]) -> usize {
    let mut backlog = Backlog::<8192>::new();
    for (line, ink) in lines {
        backlog.put(line, *ink);
    }
    let mut buffer = [0; 1024];
    while !backlog.is_empty() {
        let count = backlog.take_lines(&mut buffer);
        screen.put(&buffer[..count]);
    }
    let mut steps = 1;
    while screen.step(memory) {
        steps += 1;
    }
    steps
}

fn rows(screen: &Screen, memory: &Memory) -> Result<Vec<String>, Mismatch> {
    let pixels = memory.rgb();
    let cells = Picture { width: memory.geometry.width, pixels: &pixels }.text(screen.area())?;
    let row = |row: &Vec<Cell>| row.iter().map(|cell| char::from(cell.character)).collect::<String>();
    Ok(cells.iter().map(|cells| row(cells).trim_end().to_string()).collect())
}

#[test]
fn text_can_be_read_back() {
    for (width, height) in [(320, 200), (1024, 768), (1920, 1200), (2560, 1440)] {
        let mut memory = Memory::new(geometry(width, height));
        let mut screen = Screen::new(memory.geometry).unwrap();
        draw(&mut screen, &mut memory, &[("one ~ | {}", Ink::Text), ("two", Ink::Report)]);
        let rows = rows(&screen, &memory).unwrap();
        assert_eq!(rows[..3], ["one ~ | {}", "two", ""], "{width} by {height}");
    }
}

#[test]
fn inks_are_told_apart() {
    let mut memory = Memory::new(geometry(320, 200));
    let mut screen = Screen::new(memory.geometry).unwrap();
    draw(&mut screen, &mut memory, &[("a", Ink::Text), ("a", Ink::Warning), ("a", Ink::Report)]);
    let pixels = memory.rgb();
    let cells = Picture { width: 320, pixels: &pixels }.text(screen.area()).unwrap();
    assert_eq!([cells[0][0].ink, cells[1][0].ink, cells[2][0].ink], Ink::ALL);
    assert_eq!(memory.pixel(0, 2 * GLYPH_HEIGHT), 0x00a0_0000, "the colour behind a report");
}

#[test]
fn one_wrong_pixel_is_found() {
    let mut memory = Memory::new(geometry(320, 200));
    let mut screen = Screen::new(memory.geometry).unwrap();
    draw(&mut screen, &mut memory, &[("text", Ink::Text)]);
    for (x, y, mismatch) in [
        (GLYPH_WIDTH + 3, 5, Mismatch::Cell { row: 0, column: 1 }),
        (319, 0, Mismatch::Border { x: 319, y: 0 }),
        (0, 199, Mismatch::Border { x: 0, y: 199 }),
    ] {
        let at = y * memory.geometry.stride_bytes + x * 4;
        memory.bytes[at] ^= 1;
        assert_eq!(rows(&screen, &memory), Err(mismatch));
        memory.bytes[at] ^= 1;
    }
}

#[test]
fn only_what_differs_is_drawn() {
    let mut memory = Memory::new(geometry(1024, 768));
    let mut screen = Screen::new(memory.geometry).unwrap();
    draw(&mut screen, &mut memory, &[("the same beginning: 1", Ink::Text)]);
    let character = GLYPH_WIDTH * GLYPH_HEIGHT * 4;
    memory.written = 0;
    assert_eq!(draw(&mut screen, &mut memory, &[]), 1);
    assert_eq!(memory.written, 0);
    draw(&mut screen, &mut memory, &[("22", Ink::Text)]);
    assert_eq!(memory.written, 2 * character);
    // Fill the screen with lines that differ in one character, then scroll by one.
    let lines = (0..48).map(|number| (if number % 2 == 0 { "line a" } else { "line b" }, Ink::Text));
    draw(&mut screen, &mut memory, &lines.collect::<Vec<_>>());
    memory.written = 0;
    draw(&mut screen, &mut memory, &[("line a", Ink::Text)]);
    assert_eq!(memory.written, 48 * character);
}

#[test]
fn a_step_is_short() {
    for size in [(1024, 768), (7680, 4320)] {
        let mut memory = Memory::new(geometry(size.0, size.1));
        let mut screen = Screen::new(memory.geometry).unwrap();
        let line = "x".repeat(screen.area().columns);
        screen.put(line.as_bytes());
        loop {
            memory.written = 0;
            let is_more = screen.step(&mut memory);
            assert!(memory.written <= 8192 * 4, "{} bytes in a step", memory.written);
            if !is_more {
                break;
            }
        }
    }
}

/// As after a CPU was stopped in the middle of a step, and the text then went back to what was drawn before.
#[test]
fn half_drawn_characters_are_drawn_again() {
    struct Stops(usize);
    impl Pixels for Stops {
        fn write(&mut self, _: usize, _: &[u8]) {
            self.0 = self.0.checked_sub(1).expect("stopped here");
        }
    }
    let mut memory = Memory::new(geometry(320, 200));
    let mut screen = Screen::new(memory.geometry).unwrap();
    draw(&mut screen, &mut memory, &[("old", Ink::Text)]);
    for _ in 0..12 {
        screen.put(b"\nnew");
    }
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| screen.step(&mut Stops(3))));
    assert!(stopped.is_err());
    memory.bytes[..12].fill(0x77);
    for _ in 0..12 {
        screen.put(b"\nold");
    }
    while screen.step(&mut memory) {}
    assert_eq!(rows(&screen, &memory).unwrap()[0], "old");
}

#[test]
fn unusable_shapes_are_refused() {
    let narrow = Geometry { stride_bytes: 1023 * 4, ..geometry(1024, 768) };
    for (geometry, error) in [
        (geometry(0, 768), GeometryError::Size { width: 0, height: 768 }),
        (narrow, GeometryError::Stride { row_bytes: 4096, stride_bytes: 4092 }),
    ] {
        assert_eq!(Screen::new(geometry).err(), Some(ScreenError::Geometry(error)));
    }
}

fn any_format() -> impl Strategy<Value = PixelFormat> {
    prop_oneof![
        Just(rgb32()),
        Just(colour(4, [(0, 8), (8, 8), (16, 8)])),
        Just(colour(4, [(20, 10), (10, 10), (0, 10)])),
        Just(colour(3, [(16, 8), (8, 8), (0, 8)])),
        Just(colour(2, [(11, 5), (5, 6), (0, 5)])),
        Just(colour(2, [(10, 5), (5, 5), (0, 5)])),
        Just(PixelFormat::new(1, Channels::Grey).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// No write is outside the rows of pixels, and in the end every pixel is drawn.
    #[test]
    fn stays_inside_any_framebuffer(
        format in any_format(),
        (width, height) in prop_oneof![(0..2000usize, 0..300usize), (0..300usize, 0..1500usize)],
        padding in 0..100usize,
        lines in prop::collection::vec("\\PC{0,300}", 0..40),
    ) {
        let geometry = Geometry { width, height, stride_bytes: width * format.bytes() + padding, format };
        let Ok(mut screen) = Screen::new(geometry) else { return Ok(()) };
        let mut memory = Memory::new(geometry);
        let lines: Vec<_> = lines.iter().map(|line| (line.as_str(), Ink::Warning)).collect();
        draw(&mut screen, &mut memory, &lines);
        let shades: Vec<u32> = (0..=255).map(|intensity| format.encode(Ink::Warning.shade(intensity))).collect();
        let empty = format.encode(BACKGROUND);
        for y in 0..height {
            for x in 0..width {
                let pixel = memory.pixel(x, y);
                prop_assert!(pixel == empty || shades.contains(&pixel), "{x}, {y}: {pixel:#x}");
            }
        }
    }

    /// Any numbers make a screen that can be drawn, or an error.
    #[test]
    fn any_shape_is_drawn_or_refused(width: u16, height: u16, stride_bytes in 0..300_000usize, format in any_format()) {
        struct Nowhere(usize);
        impl Pixels for Nowhere {
            fn write(&mut self, offset: usize, bytes: &[u8]) {
                assert!(offset + bytes.len() <= self.0);
            }
        }
        let geometry = Geometry { width: width.into(), height: height.into(), stride_bytes, format };
        let Ok(mut screen) = Screen::new(geometry) else { return Ok(()) };
        screen.put(&[b'x'; 3000]);
        let mut end = Nowhere(geometry.len_bytes());
        for _ in 0..100 {
            screen.step(&mut end);
        }
    }
}
