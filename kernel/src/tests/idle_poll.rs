//! Idle CPUs that poll before they halt: what wakes them, and that wake-ups send no more interrupts than threads can start.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use ::trace::Event;
use params::registry::IDLE_POLL_US;
use runqueue::CpuMask;

use super::trace::events_of;
use super::wait::{NO_MORE_ROUNDS, each_round, with_param, within_20_s};
use crate::arch::{tracepoint, vector};
use crate::debug::ktest::{Stopped, TestResult};
use crate::debug::trace;
use crate::sched::hotplug::{offline, online};
use crate::sched::wait::WaitQueue;
use crate::{check, kernel_tests, sched, skip_if};

fn cpus() -> Vec<usize> {
    sched::online_cpus().iter().collect()
}

/// Runs a thread of nothing on each of `cpus`, which idle afterwards.
fn visit(cpus: &[usize]) -> TestResult {
    for cpu in cpus {
        let visitor = sched::spawn_on(CpuMask::single(*cpu), "test/visitor", || {});
        visitor.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?.join();
    }
    Ok(())
}

/// Runs `check` while all CPUs but the first, on which the test runs, poll whenever they idle.
fn while_others_poll(check: impl FnOnce(&[usize]) -> TestResult) -> TestResult {
    let all = cpus();
    check!(sched::set_affinity(sched::current(), &CpuMask::single(all[0])).is_ok());
    sched::pin_polling(true);
    let result = visit(&all[1..]).and_then(|()| check(&all[1..]));
    sched::pin_polling(false);
    check!(sched::set_affinity(sched::current(), &CpuMask::ALL).is_ok());
    result
}

fn all_poll(cpus: &[usize]) -> bool {
    cpus.iter().all(|cpu| sched::is_polling(*cpu))
}

/// Wake-ups of one thread, and how the CPUs were told.
#[derive(Debug, Default)]
struct Told {
    wakes: u64,
    interrupts: u64,
    polled: u64,
}

/// Wakes a thread `rounds` times that may run on any CPU of `others`, which idle, each time once they are `ready`. Rounds
/// in which another thread was woken, or one of these CPUs had another interrupt, do not count: other wake-ups tell CPUs
/// too, and a CPU that runs something else is told by an interrupt.
fn wake_among(others: &[usize], rounds: u64, ready: impl Fn() -> bool) -> Result<Told, Stopped> {
    let mut all = others.to_vec();
    all.extend(cpus().iter().filter(|cpu| !others.contains(cpu)));
    let (queue, round) = (Arc::new(WaitQueue::new()), Arc::new(AtomicU64::new(0)));
    let ran = Arc::new(AtomicU64::new(NO_MORE_ROUNDS));
    let (own, wanted, done) = (queue.clone(), round.clone(), ran.clone());
    let allowed: CpuMask = others.iter().copied().collect();
    let thread = sched::spawn_on(allowed, "test/woken", move || {
        done.store(0, SeqCst);
        each_round(&own, &wanted, |number| done.store(number, SeqCst));
    });
    let thread = thread.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
    check!(within_20_s(|| ran.load(SeqCst) == 0), "the thread has not begun");
    check!(trace::start() == Ok(()));
    let mut told = Told::default();
    let all_idle = || sched::idle_count() as usize == others.len();
    for number in 1.. {
        check!(number <= 50 * rounds, "of {number} rounds, few were undisturbed: {told:?}");
        check!(within_20_s(|| all_idle() && ready()), "the other cpus do not idle");
        let from: Vec<u64> = all.iter().map(|cpu| tracepoint::recorded(*cpu)).collect();
        // What happens after this look is seen.
        if !(all_idle() && ready()) {
            continue;
        }
        let polled = || all.iter().map(|cpu| sched::polled_wakes(*cpu)).sum::<u64>();
        let polled_before = polled();
        round.store(number, SeqCst);
        queue.wake_one();
        // Spinning, because the end of a sleep may send an interrupt too.
        while ran.load(SeqCst) < number || !all_idle() {
            core::hint::spin_loop();
        }
        let polled = polled() - polled_before;
        let (mut wakes, mut interrupts, mut timers) = (0, 0, 0);
        for (cpu, from) in all.iter().zip(&from) {
            for (.., event) in events_of(*cpu, *from) {
                match event {
                    Event::Wake { .. } => wakes += 1,
                    Event::IpiSend { vector: vector::RESCHEDULE, .. } => interrupts += 1,
                    Event::InterruptEnter { vector: entered } if others.contains(cpu) => {
                        timers += u64::from(entered != vector::RESCHEDULE);
                    }
                    _ => {}
                }
            }
        }
        if (wakes, timers) == (1, 0) {
            told.wakes += wakes;
            told.interrupts += interrupts;
            told.polled += polled;
        }
        if told.wakes == rounds {
            break;
        }
    }
    check!(trace::stop());
    round.store(NO_MORE_ROUNDS, SeqCst);
    queue.wake_one();
    thread.join();
    log::info!("{} idle cpus: {told:?}", others.len());
    Ok(told)
}

kernel_tests! { "idle_poll":
    /// However many CPUs idle: one is told of a thread. Here all of them halt.
    fn a_wake_up_among_halted_cpus_sends_one_interrupt() needs(Cpus(3)) {
        const ROUNDS: u64 = 50;
        skip_if!(tracepoint::is_any_on(), "tracing is on for the whole run");
        let all = cpus();
        check!(sched::set_affinity(sched::current(), &CpuMask::single(all[0])).is_ok());
        let halted = || !all.iter().any(|cpu| sched::is_polling(*cpu));
        let wake = || visit(&all[1..]).and_then(|()| wake_among(&all[1..], ROUNDS, halted));
        let told = with_param(&IDLE_POLL_US, "0", wake);
        check!(sched::set_affinity(sched::current(), &CpuMask::ALL).is_ok());
        let told = told?;
        check!(told.polled == 0, "a cpu polled: {told:?}");
        check!(told.interrupts == ROUNDS, "{ROUNDS} rounds: {told:?}");
    }

    /// Here all of them poll: one is told, and no interrupt is sent.
    fn a_wake_up_among_polling_cpus_sends_no_interrupt() needs(Cpus(2)) {
        const ROUNDS: u64 = 10;
        skip_if!(tracepoint::is_any_on(), "tracing is on for the whole run");
        while_others_poll(|others| {
            let told = wake_among(others, ROUNDS, || all_poll(others))?;
            check!(told.interrupts == 0, "{told:?}");
            check!(told.polled == ROUNDS, "{ROUNDS} rounds: {told:?}");
            Ok(())
        })?;
    }

    /// A thread that the timer of a polling CPU wakes runs at once, as on a halted one.
    fn an_interrupt_ends_polling() needs(Cpus(2)) {
        while_others_poll(|others| {
            let slept = Arc::new(AtomicU64::new(0));
            let count = slept.clone();
            let sleeper = sched::spawn_on(CpuMask::single(others[0]), "test/sleeper", move || {
                for _ in 0..3 {
                    sched::sleep_ns(1_000_000);
                    count.fetch_add(1, SeqCst);
                }
            });
            let sleeper = sleeper.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
            check!(within_20_s(|| slept.load(SeqCst) == 3), "a thread sleeps on, after {} times", slept.load(SeqCst));
            sleeper.join();
            Ok(())
        })?;
    }

    /// A CPU that goes offline is told like others. It polls no longer: nothing would end that.
    fn a_polling_cpu_goes_offline_and_halts() needs(Cpus(2)) {
        while_others_poll(|others| {
            let last = others[others.len() - 1];
            check!(within_20_s(|| sched::is_polling(last)));
            check!(offline(last).is_ok());
            check!(!sched::is_polling(last), "an offline cpu polls");
            check!(online(last).is_ok());
            visit(&[last])?;
            check!(within_20_s(|| sched::is_polling(last)), "cpu {last} does not poll again");
            Ok(())
        })?;
    }
}
