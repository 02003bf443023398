//! The log on the screen, where the loader gives a framebuffer.
//!
//! A writer only adds its line to a queue in RAM. The drawer, a thread of low weight, draws later: the boot waits for no
//! pixel. Writers draw where there is no drawer, in a panic, and with `console.screen=on` before the drawer exists. Nothing
//! is drawn while a [`Hold`] exists: measurements hold the screen.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use display::backlog::Backlog;
use display::geometry::{Geometry, TextArea};
use display::ink::Ink;
use display::screen::{Pixels, Screen, ScreenError};

use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::{apic, percpu, vector};

/// Capacity for text that waits: more than a usual screen shows.
const BACKLOG_BYTES: usize = 32 << 10;

/// Text that waits to be drawn.
static BACKLOG: IrqSpinLock<Backlog<BACKLOG_BYTES>> = IrqSpinLock::of(LockClass::SCREEN_TEXT, Backlog::new());
static SCREEN: IrqSpinLock<Option<Mapped>> = IrqSpinLock::of(LockClass::SCREEN, None);

/// Whether lines are kept for the screen: it is in use, or it is not known yet whether there is one.
static IS_WANTED: AtomicBool = AtomicBool::new(true);
/// Whether the screen is in use.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// Whether writers draw while there is no drawer.
static WRITERS_DRAW: AtomicBool = AtomicBool::new(false);
/// Whether the drawer is running.
static HAS_DRAWER: AtomicBool = AtomicBool::new(false);
/// Whether the drawer was called and has not found everything drawn since.
static IS_DRAWER_CALLED: AtomicBool = AtomicBool::new(false);
/// Number of [`Hold`]s.
static HOLDS: AtomicU32 = AtomicU32::new(0);
/// Whether this is the report of a failure.
static IS_REPORT: AtomicBool = AtomicBool::new(false);

/// The screen and its memory.
struct Mapped {
    screen: Screen,
    memory: VideoMemory,
}

/// Mapped video memory.
struct VideoMemory {
    start: *mut u8,
    len_bytes: usize,
}

// SAFETY: the memory is mapped on every CPU, for good, and the value is its only user.
unsafe impl Send for VideoMemory {}

impl Pixels for VideoMemory {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(self.len_bytes.checked_sub(offset).is_some_and(|room| bytes.len() <= room));
        // SAFETY: the range is inside the video memory, as was just checked.
        let to = unsafe { self.start.add(offset) };
        let head = to.align_offset(size_of::<u64>()).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        let (words, tail) = rest.as_chunks();
        // SAFETY:
        // 1. All writes are inside the range that was checked, which `start` was promised to map.
        // 2. Words are written from the first aligned address on.
        // 3. Volatile: nothing reads the memory, and a string instruction would be slow under emulation.
        unsafe {
            for (index, byte) in head.iter().enumerate() {
                to.add(index).write_volatile(*byte);
            }
            let to = to.add(head.len()).cast::<u64>();
            for (index, word) in words.iter().enumerate() {
                to.add(index).write_volatile(u64::from_ne_bytes(*word));
            }
            let to = to.add(words.len()).cast::<u8>();
            for (index, byte) in tail.iter().enumerate() {
                to.add(index).write_volatile(*byte);
            }
        }
    }
}

/// Puts the log on the screen at `start`, from the first line on. Until there is a drawer, writers draw if `at_once`, else the
/// lines wait. Returns how much text fits.
///
/// # Safety
/// `geometry.len_bytes()` bytes from `start` on are video memory, mapped for good, and no other code uses them.
pub unsafe fn start(start: *mut u8, geometry: Geometry, at_once: bool) -> Result<TextArea, ScreenError> {
    let screen = Screen::new(geometry)?;
    let area = screen.area();
    let memory = VideoMemory { start, len_bytes: geometry.len_bytes() };
    *SCREEN.lock() = Some(Mapped { screen, memory });
    IS_ON.store(true, SeqCst);
    if at_once {
        draw_without_drawer();
    }
    Ok(area)
}

/// Keeps no more lines for a screen: there is none, or it shall not be used.
pub fn go_without() {
    IS_WANTED.store(false, SeqCst);
    IS_ON.store(false, SeqCst);
}

/// Returns whether the log is on a screen.
pub fn is_on() -> bool {
    IS_ON.load(SeqCst)
}

/// Returns the virtual address of the video memory in use.
pub fn video_memory() -> Option<u64> {
    SCREEN.lock().as_ref().map(|mapped| mapped.memory.start as u64)
}

/// Returns whether text waits to be drawn.
pub fn is_text_waiting() -> bool {
    !BACKLOG.lock().is_empty()
}

/// Has writers draw, as there is no drawer: draws what waits.
pub fn draw_without_drawer() {
    WRITERS_DRAW.store(true, SeqCst);
    draw_all();
}

/// Adds a line to the text that waits; draws it if no drawer will.
pub(super) fn write_line(line: &str, ink: Ink) {
    if !IS_WANTED.load(SeqCst) {
        return;
    }
    let ink = if IS_REPORT.load(SeqCst) { Ink::Report } else { ink };
    BACKLOG.lock().put(line, ink);
    // Store then load, SeqCst: a writer adds its line, then looks for holds. A hold that ends is removed, then looks for
    // lines. One of them calls the drawer.
    if !is_on() || HOLDS.load(SeqCst) > 0 {
        return;
    }
    have_drawn();
}

/// Has the drawer draw, or draws if writers do.
fn have_drawn() {
    if HAS_DRAWER.load(SeqCst) {
        call_drawer();
    } else if WRITERS_DRAW.load(SeqCst) {
        draw_all();
    }
}

/// Announces the drawer: a thread that, at each [`vector::CONSOLE`] with [`is_drawer_called`], calls [`draw_step`] until it
/// returns false. It is called for the lines that wait.
pub fn start_drawing() {
    HAS_DRAWER.store(true, SeqCst);
    call_drawer();
}

/// Calls the drawer by an interrupt to this CPU: the caller may hold any lock, so it must not wake a thread.
fn call_drawer() {
    if HAS_DRAWER.load(SeqCst) && !IS_DRAWER_CALLED.swap(true, SeqCst) {
        apic::local().send_ipi(percpu::this_cpu().apic_id(), vector::CONSOLE);
    }
}

/// Returns whether the drawer was called and has not found everything drawn since.
pub fn is_drawer_called() -> bool {
    IS_DRAWER_CALLED.load(SeqCst)
}

/// Draws a part of what waits, unless the screen is held. Returns whether the drawer shall go on.
pub fn draw_step() -> bool {
    // Store then load, SeqCst: the drawer clears the flag, then looks for text; a writer adds text, then sets the flag. One
    // of them sees the other.
    IS_DRAWER_CALLED.store(false, SeqCst);
    let goes_on = step(|| HOLDS.load(SeqCst) == 0);
    if goes_on {
        IS_DRAWER_CALLED.store(true, SeqCst);
    }
    goes_on
}

/// Draws everything that waits, also while the screen is held.
pub fn draw_all() {
    while step(|| true) {}
}

/// Moves a part of the waiting text to the screen's memory in RAM, or draws a part of what changed there, if `may_draw`.
/// Returns whether anything is left. Interrupts are off for the part.
fn step(may_draw: impl FnOnce() -> bool) -> bool {
    // Not under the lock: a report that failed may have left that taken.
    if !is_on() {
        return false;
    }
    let mut mapped = SCREEN.lock();
    let Some(Mapped { screen, memory }) = mapped.as_mut().filter(|_| may_draw()) else { return false };
    let mut text = [0; 1024];
    let count = BACKLOG.lock().take_lines(&mut text);
    if count > 0 {
        screen.put(&text[..count]);
        return true;
    }
    screen.step(memory)
}

/// While it exists, nothing is drawn, except before power-off, in a panic and by [`show_then_hold`].
#[must_use = "the hold ends when it is dropped"]
pub struct Hold(());

/// Holds the screen: from here on no drawing disturbs a measurement. What waits is drawn after the hold.
pub fn hold() -> Hold {
    HOLDS.fetch_add(1, SeqCst);
    // A step of the drawer that began before is over when this has had the screen's lock.
    drop(SCREEN.lock());
    Hold(())
}

/// Draws everything that waits, then [holds](hold) the screen. For measurements that follow one another: each shows the
/// results of the last.
pub fn show_then_hold() -> Hold {
    let hold = hold();
    draw_all();
    hold
}

impl Drop for Hold {
    fn drop(&mut self) {
        if HOLDS.fetch_sub(1, SeqCst) == 1 && is_on() {
            // Even if no text waits: the drawer may have been stopped before all of it was drawn.
            have_drawn();
        }
    }
}

/// As [`crate::console::seize`], for the screen. The second call, after a failure of the report, gives the screen up:
/// drawing may be what failed.
///
/// # Safety
/// As there.
pub(super) unsafe fn seize() {
    if IS_REPORT.swap(true, SeqCst) {
        go_without();
        return;
    }
    // SAFETY: by the caller's promise the code that holds the lock never continues: its CPU is stopped for good, or is this
    // one, which does not return there.
    unsafe {
        SCREEN.force_unlock();
        BACKLOG.force_unlock();
    }
    BACKLOG.lock().seize();
    // From here on this CPU alone draws.
    HAS_DRAWER.store(false, SeqCst);
    HOLDS.store(0, SeqCst);
    // Not what waits, yet: drawing may be what failed, and the report shall be on the serial port first.
    WRITERS_DRAW.store(true, SeqCst);
}
