//! Chaos: at switch points a debug build delays the CPU, preempts the thread or interrupts a CPU, as a seed says.
//!
//! The crate [`chaos`] decides, with one stream of numbers for each CPU. This module asks it and acts. In other builds
//! [`point`] is empty.

pub use ::chaos::Point;
#[cfg(debug_assertions)]
pub use debug_build::{install_preemption, is_on, report, reseed, stop};

/// Marks a switch point of kind `point`: another thread or CPU may come in between here.
#[inline(always)]
pub fn point(point: Point) {
    #[cfg(debug_assertions)]
    if is_on() {
        debug_build::act(point);
    }
    #[cfg(not(debug_assertions))]
    let _ = point;
}

/// Marks a switch point when it is dropped.
#[cfg(debug_assertions)]
pub struct PointOnDrop(pub Point);

#[cfg(debug_assertions)]
impl Drop for PointOnDrop {
    fn drop(&mut self) {
        point(self.0);
    }
}

#[cfg(debug_assertions)]
mod debug_build {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

    use ::chaos::{Action, Digest, Place, Point, Seeding, Stream};
    use spin::Once;
    use x86_64::instructions::interrupts;

    use crate::arch::irq::IrqGuard;
    use crate::arch::percpu::{self, CpuId, MAX_CPUS};
    use crate::arch::{cpu, ipi, vector};

    /// The seeding in one word, its number in the upper half: no CPU sees a number with the seed of another. 0: off.
    static SEEDING: AtomicU64 = AtomicU64::new(0);
    /// The last value of [`SEEDING`] that was not 0.
    static LAST: AtomicU64 = AtomicU64::new(0);

    /// Preempts the running thread, if another one waits for the CPU.
    static PREEMPT: Once<fn()> = Once::new();

    static STREAMS: [Stream; MAX_CPUS] = [const { Stream::new() }; MAX_CPUS];

    fn unpacked(word: u64) -> Option<Seeding> {
        (word != 0).then_some(Seeding { number: word >> 32, seed: word & u64::from(u32::MAX) })
    }

    /// Returns whether anything happens at switch points.
    #[inline(always)]
    pub fn is_on() -> bool {
        // Relaxed: a point more or less around the change makes no difference.
        SEEDING.load(Relaxed) != 0
    }

    /// Sets the function that preempts the running thread. It is called with interrupts on, from any thread. Without it, or for an
    /// idle thread, nothing is preempted.
    pub fn install_preemption(preempt: fn()) {
        PREEMPT.call_once(|| preempt);
    }

    /// Begins a new sequence of decisions by `seed`. Each CPU begins it at its next point.
    pub fn reseed(seed: u32) {
        let number = (LAST.load(SeqCst) >> 32) + 1;
        LAST.store(number << 32 | u64::from(seed), SeqCst);
        SEEDING.store(LAST.load(SeqCst), SeqCst);
    }

    /// Ends chaos. The last sequence can still be reported.
    pub fn stop() {
        SEEDING.store(0, SeqCst);
    }

    /// Returns the seed of the last sequence and the digest of all CPUs' decisions, if there was one.
    pub fn report() -> Option<(u64, Digest)> {
        let seeding = unpacked(LAST.load(SeqCst))?;
        let streams = STREAMS.iter().take(percpu::cpu_count());
        let digest = streams.fold(Digest::default(), |all, stream| all.with(stream.digest(seeding)));
        Some((seeding.seed, digest))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn act(point: Point) {
        let can_preempt = interrupts::are_enabled();
        let action = {
            let _irq = IrqGuard::new();
            let Some(seeding) = unpacked(SEEDING.load(SeqCst)) else { return };
            let cpu = percpu::this_cpu_id().index();
            let place = Place { cpu: cpu as u32, cpus: percpu::cpu_count() as u32, can_preempt };
            STREAMS[cpu].decide(seeding, place, point)
        };
        match action {
            Action::Nothing => {}
            Action::Delay(rounds) => (0..rounds).for_each(|_| cpu::relax()),
            // Interrupts are on, so the thread can be preempted at any instruction anyway.
            Action::Preempt => PREEMPT.get().into_iter().for_each(|preempt| preempt()),
            Action::Interrupt(number) => interrupt(number as usize),
        }
    }

    /// Has CPU `number` look at its queue without a reason.
    fn interrupt(number: usize) {
        if let Some(id) = CpuId::new(number).filter(|id| percpu::get(*id).is_online()) {
            ipi::send(id, vector::RESCHEDULE);
        }
    }
}
