//! Tests of the screen: its memory, and that it is held.

use super::registers::on_each_cpu;
use super::wait::{sleep_and_see, within_20_s};
use crate::arch::paging::PageTables;
use crate::arch::{cpu, cpu_registers};
use crate::console::screen;
use crate::{check, kernel_tests, skip_if};

kernel_tests! { "screen":
    fn writes_to_the_screen_are_combined_on_every_cpu() needs(Screen) {
        /// The memory type in an entry of the page attribute table.
        const WRITE_COMBINING: u8 = 1;
        let video_memory = screen::video_memory();
        skip_if!(!cpu::features().pat, "this cpu has no page attribute table, or cpu.disable rules it out");
        let entry = video_memory.and_then(|start| PageTables::active().memory_type_of(start));
        for (cpu, found) in on_each_cpu(cpu_registers::read) {
            let memory_type = found.zip(entry).map(|([.., table], entry)| table.to_le_bytes()[entry]);
            check!(memory_type == Some(WRITE_COMBINING), "cpu {cpu}: {memory_type:?} by entry {entry:?}");
        }
    }

    fn a_held_screen_is_drawn_later() needs(Screen) {
        let hold = screen::hold();
        log::info!("this line waits for the end of a hold");
        // The drawer has time to draw, and must not.
        sleep_and_see(20_000_000);
        check!(screen::is_text_waiting(), "a line was drawn during a hold");
        drop(hold);
        check!(within_20_s(|| !screen::is_text_waiting() && !screen::is_drawer_called()), "a line is not drawn after a hold");
    }
}
