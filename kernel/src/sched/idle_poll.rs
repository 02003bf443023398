//! Polling of the idle thread before it halts: a thread that is queued meanwhile starts without an interrupt, which takes a
//! hundred times as long to reach a halted virtual CPU. `waiting::idle_poll` has the handshake and the rule.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use params::registry::IDLE_POLL_US;
use waiting::{IdlePeriod, PollWindow};
use x86_64::instructions::interrupts;

use super::cpus::{self, Cpu};
use super::thread::Thread;
use crate::arch::{cpu, tsc};

/// Whether idle CPUs poll until a thread comes, whatever the rule says.
static IS_PINNED: AtomicBool = AtomicBool::new(false);

/// Has each CPU that becomes idle from now on poll until a thread comes, or poll by the rule again. For tests, which cannot rely on
/// times.
pub fn pin_polling(is_pinned: bool) {
    // Relaxed: it stands alone.
    IS_PINNED.store(is_pinned, Relaxed);
}

/// Whether CPU number `cpu` polls.
pub fn is_polling(cpu: usize) -> bool {
    cpus::get(cpu).poll.is_polling()
}

/// Returns the number of wake-ups that found CPU number `cpu` polling, and sent no interrupt.
pub fn polled_wakes(cpu: usize) -> u64 {
    cpus::get(cpu).polled_wakes.load(Relaxed)
}

/// What the idle thread of a CPU knows about polling.
pub(super) struct IdlePoll {
    window: PollWindow,
    /// When the current idle period began, and until when the CPU polls in it.
    period: Option<(u64, u64)>,
}

impl IdlePoll {
    pub(super) const fn new() -> Self {
        Self { window: PollWindow::new(), period: None }
    }

    /// Polls on the calling CPU `cpu`, if it is time to. Returns whether a wake-up or an interrupt came; if not, the CPU may halt.
    /// Interrupts are off before and after.
    pub(super) fn poll(&mut self, cpu: &Cpu) -> bool {
        let began_ns = tsc::now_ns();
        let (_, until_ns) = *self.period.get_or_insert_with(|| {
            let most_ns = most_ns();
            (began_ns, began_ns + self.window.at(began_ns, most_ns))
        });
        if began_ns >= until_ns && !IS_PINNED.load(Relaxed) {
            return false;
        }
        cpu.poll.begin();
        interrupts::enable();
        let mut last_ns = began_ns;
        while !cpu.poll.is_kicked() {
            let now_ns = tsc::now_ns();
            let is_over = now_ns >= until_ns || self.window.is_interrupted(last_ns, now_ns);
            if is_over && !IS_PINNED.load(Relaxed) {
                break;
            }
            last_ns = now_ns;
            cpu::relax();
        }
        interrupts::disable();
        cpu.poll.end()
    }

    /// Learns that the idle period ends at `now_ns`, with `next` as the thread to run.
    pub(super) fn end_period(&mut self, next: &Thread, now_ns: u64) {
        let Some((began_ns, _)) = self.period.take() else { return };
        let queued_ns = next.account.queued_at_ns().clamp(began_ns, now_ns);
        let period = IdlePeriod { idle_ns: queued_ns - began_ns, late_ns: now_ns - queued_ns };
        self.window.learn(period, now_ns, most_ns());
    }
}

/// Returns the longest time to poll; 0 where no other CPU could end it.
fn most_ns() -> u64 {
    if cpus::active().count() > 1 { IDLE_POLL_US.get() * 1000 } else { 0 }
}
