//! Puts the log on the loader's framebuffer.

use core::fmt;

use display::format::{self, Channels, FormatError, PixelFormat};
use display::geometry::{Geometry, TextArea};
use display::screen::ScreenError;
use firmware::framebuffer::Framebuffer;
use firmware::memmap::MemoryMap;
use params::registry::CONSOLE_SCREEN;

use crate::arch::cpu;
use crate::arch::paging::MapError;
use crate::console::{self, warning};
use crate::mm::early::EarlyMemory;
use crate::mm::space;
use crate::platform;

/// Why a framebuffer cannot be used.
enum Problem {
    /// It ends above the CPU's physical addresses.
    TooHigh { end: u64, bits: u8 },
    /// Its pixels.
    Format(FormatError),
    /// Its memory cannot be mapped.
    Map(MapError),
    /// Its shape, or the memory for its text.
    Screen(ScreenError),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooHigh { end, bits } => {
                write!(f, "it ends at {end:#x}, but physical addresses have {bits} bits")
            }
            Self::Format(error) => error.fmt(f),
            Self::Map(error) => error.fmt(f),
            Self::Screen(error) => error.fmt(f),
        }
    }
}

/// Puts the log on the loader's framebuffer, if there is one and `console.screen` allows it.
pub fn screen(map: &MemoryMap, early: &mut EarlyMemory) {
    let wanted = CONSOLE_SCREEN.get();
    let framebuffer = if wanted == "off" { None } else { platform::framebuffer::read(map) };
    let Some(framebuffer) = framebuffer else {
        console::screen::go_without();
        if wanted == "on" {
            warning(format_args!("console.screen=on: the loader gives no framebuffer that can be used"));
        }
        return;
    };
    let Framebuffer { address, width, height, .. } = framebuffer;
    match start(&framebuffer, early, wanted == "on") {
        Ok(TextArea { columns, rows, .. }) => {
            log::info!("screen: {width} x {height} pixels at {address:#x}, {columns} x {rows} characters");
        }
        Err(problem) => {
            console::screen::go_without();
            warning(format_args!("the loader's screen is not used: {problem}"));
        }
    }
}

fn start(framebuffer: &Framebuffer, early: &mut EarlyMemory, at_once: bool) -> Result<TextArea, Problem> {
    let Framebuffer { width, height, stride_bytes, bytes_per_pixel, format, .. } = *framebuffer;
    let (range, bits) = (framebuffer.range(), cpu::features().phys_addr_bits);
    if (range.end - 1) >> bits != 0 {
        return Err(Problem::TooHigh { end: range.end, bits });
    }
    let channels = [format.red, format.green, format.blue]
        .map(|channel| format::Channel { shift: channel.shift, bits: channel.bits });
    let format =
        PixelFormat::new(bytes_per_pixel.into(), Channels::Colour(channels)).map_err(Problem::Format)?;
    let geometry = Geometry {
        width: width as usize,
        height: height as usize,
        stride_bytes: stride_bytes as usize,
        format,
    };
    // Before memory is mapped for nothing.
    geometry.text_area().map_err(|error| Problem::Screen(error.into()))?;
    let memory = space::map_video(&range, &mut || early.alloc_page_below_4g()).map_err(Problem::Map)?;
    // SAFETY:
    // 1. `map_video` has mapped the range for good, and `geometry` does not reach beyond it.
    // 2. The loader named it as its framebuffer, and it is in no memory that the map lists for another purpose. So no other
    //    code uses it.
    unsafe { console::screen::start(memory as *mut u8, geometry, at_once) }.map_err(Problem::Screen)
}
