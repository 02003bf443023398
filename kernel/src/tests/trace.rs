//! Tracing: events are recorded in order, read whole, and dumped once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use ::trace::{Event, EventClass, Named, Why};
use params::registry::IDLE_POLL_US;
use runqueue::CpuMask;

use super::wait::{NO_MORE_ROUNDS, each_round, with_param, within_20_s};
use crate::arch::{percpu, tracepoint, vector};
use crate::debug::ktest::Stopped;
use crate::debug::trace::{self, StartError};
use crate::sched::wait::WaitQueue;
use crate::{check, kernel_tests, sched, skip_if};

/// Returns the events of CPU number `cpu` from event `from` on.
pub(super) fn events_of(cpu: usize, from: u64) -> Vec<(u64, u32, Event)> {
    trace::last_events(cpu, tracepoint::recorded(cpu) - from).collect()
}

fn online() -> Vec<usize> {
    percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index()).collect()
}

/// Returns whether times never go back.
fn in_order(events: &[(u64, u32, Event)]) -> bool {
    events.is_sorted_by_key(|(ticks, ..)| *ticks)
}

kernel_tests! { "trace":
    /// Two threads that may run on one CPU alone wake up there together: one interrupt for each wake-up, and none to the
    /// other CPUs, which can start neither. Rounds in which another thread was woken do not count: it may have others told.
    fn pinned_threads_interrupt_no_other_cpu() needs(Cpus(3)) {
        const ROUNDS: usize = 100;
        let cpus = online();
        skip_if!(tracepoint::is_any_on(), "tracing is on for the whole run");
        let target = cpus[cpus.len() - 1];
        let others = CpuMask::single(cpus[0]);
        check!(sched::set_affinity(sched::current(), &others).is_ok());
        let (queue, round, ran) = (Arc::new(WaitQueue::new()), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (mut threads, mut woken) = (Vec::new(), alloc::vec![sched::current().tid().get()]);
        for _ in 0..2 {
            let (queue, round, ran) = (queue.clone(), round.clone(), ran.clone());
            let started = sched::spawn_on(CpuMask::single(target), "test/pinned", move || {
                each_round(&queue, &round, |_| _ = ran.fetch_add(1, SeqCst));
            });
            let thread = started.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
            woken.push(thread.thread().tid().get());
            threads.push(thread);
        }
        check!(trace::start() == Ok(()));
        let wake = || {
            let (mut counted, mut sent, mut strayed) = (0, 0, 0);
            for number in 1..=50 * ROUNDS as u64 {
                sched::sleep_ns(200_000);
                let from = [cpus[0], target].map(tracepoint::recorded);
                round.store(number, SeqCst);
                queue.wake_all();
                if !within_20_s(|| ran.load(SeqCst) == 2 * number) {
                    break;
                }
                let (here, there) = (events_of(cpus[0], from[0]), events_of(target, from[1]));
                let is_other = |event: &Event| matches!(event, Event::Wake { thread, .. } if !woken.contains(thread));
                if here.iter().chain(&there).any(|(.., event)| is_other(event)) {
                    continue;
                }
                let kicks = |cpu, events: &[(u64, u32, Event)]| {
                    let is_kick = |event: &Event| matches!(event, Event::IpiSend { vector: vector::RESCHEDULE, to } if usize::from(*to) != cpu);
                    events.iter().filter(|(.., event)| is_kick(event)).count()
                };
                counted += 1;
                sent += kicks(cpus[0], &here);
                strayed += kicks(target, &there);
                if counted == ROUNDS {
                    break;
                }
            }
            (counted, sent, strayed)
        };
        // A CPU that polls needs no interrupt.
        let (counted, sent, strayed) = with_param(&IDLE_POLL_US, "0", wake);
        check!(trace::stop());
        round.store(NO_MORE_ROUNDS, SeqCst);
        queue.wake_all();
        threads.into_iter().for_each(sched::JoinHandle::join);
        check!(sched::set_affinity(sched::current(), &CpuMask::ALL).is_ok());
        log::info!("{counted} wake-ups of two threads on one of {} cpus: {sent} interrupts, {strayed} from there", cpus.len());
        check!(counted == ROUNDS, "{counted} of {ROUNDS} rounds ended and were undisturbed");
        check!(strayed == 0, "{strayed} interrupts to cpus that can start neither");
        check!(sent <= 2 * ROUNDS, "{sent} interrupts for {} wake-ups", 2 * ROUNDS);
    }

    fn a_threads_life_is_recorded_in_order() {
        skip_if!(tracepoint::is_any_on(), "tracing is on for the whole run");
        let cpus = online();
        let target = cpus[cpus.len() - 1];
        check!(trace::start() == Ok(()));
        check!(trace::start() == Err(StartError::AlreadyOn));
        let from: Vec<u64> = cpus.iter().map(|cpu| tracepoint::recorded(*cpu)).collect();
        let spawned = sched::spawn_on(CpuMask::single(target), "test/traced-life", || {});
        let tid = spawned.as_ref().map(|thread| thread.thread().tid().get()).ok();
        if let Ok(thread) = spawned {
            thread.join();
        }
        // The thread wakes its joiner before it leaves its CPU.
        sched::reap_all_exited();
        check!(trace::stop());
        check!(!trace::stop());
        let Some(tid) = tid else { return Err(crate::debug::ktest::Stopped::Skipped("no thread could be started".into())) };
        let recorded: Vec<_> = cpus.iter().zip(&from).map(|(cpu, from)| events_of(*cpu, *from)).collect();
        for (cpu, events) in cpus.iter().zip(&recorded) {
            check!(in_order(events), "the events of cpu {cpu} are not in the order of time");
        }
        let all = || recorded.iter().flatten();
        let at = |what: &dyn Fn(&Event) -> bool| all().find(|(.., event)| what(event)).map(|(ticks, ..)| *ticks);
        let named = at(&|event| matches!(event, Event::Name { what: Named::Thread, id, part: 0, bytes }
            if *id == tid && bytes == b"test/traced-life"));
        let woken = at(&|event| *event == Event::Wake { thread: tid, cpu: target as u16 });
        let ran = at(&|event| matches!(event, Event::Switch { next, .. } if *next == tid));
        let here = cpus.iter().position(|cpu| *cpu == target).unwrap_or(0);
        let is_end = |event: &(u64, u32, Event)| {
            event.1 == tid && matches!(event.2, Event::Switch { why: Why::Ended, .. })
        };
        let ended = recorded[here].iter().find(|event| is_end(event)).map(|(ticks, ..)| *ticks);
        check!(named.is_some() && woken.is_some() && ran.is_some() && ended.is_some(),
            "name {named:?}, wake-up {woken:?}, start {ran:?} and end {ended:?} should all be recorded");
        check!(named < woken && woken < ran && ran < ended, "{named:?} {woken:?} {ran:?} {ended:?}");
    }

    /// The interrupt that wakes a thread of an idle CPU sets no timer for it: the idle thread looks at the queue next. A
    /// timer for the old, past end of a slice would interrupt again before the idle thread runs, for ever on a machine
    /// whose timers are quick.
    fn a_wake_up_of_an_idle_cpu_takes_one_timer_interrupt() {
        const SLEEPS: usize = 20;
        // Longer than a slice.
        const SLEEP_NS: u64 = 10_000_000;
        skip_if!(tracepoint::is_any_on(), "tracing is on for the whole run");
        let cpus = online();
        let target = cpus[cpus.len() - 1];
        check!(trace::start() == Ok(()));
        let from = tracepoint::recorded(target);
        let sleeper = sched::spawn_on(CpuMask::single(target), "test/sleeper", || {
            for _ in 0..SLEEPS {
                sched::sleep_ns(SLEEP_NS);
            }
        });
        let tid = sleeper.as_ref().map(|thread| thread.thread().tid().get()).ok();
        if let Ok(thread) = sleeper {
            thread.join();
        }
        check!(trace::stop());
        let Some(tid) = tid else { return Err(crate::debug::ktest::Stopped::Skipped("no thread could be started".into())) };
        let events = events_of(target, from);
        let sleeps = events.iter().filter(|(_, thread, event)| {
            *thread == tid && matches!(event, Event::Switch { why: Why::Blocked, .. })
        });
        let sleeps = sleeps.count();
        let timers = events.iter().filter(|(.., event)| *event == Event::InterruptEnter { vector: vector::TIMER }).count();
        log::debug!("{timers} timer interrupts for {sleeps} sleeps");
        check!(sleeps >= SLEEPS, "{sleeps} of {SLEEPS} sleeps are in the trace");
        check!(timers <= sleeps + sleeps / 2, "{timers} timer interrupts for {sleeps} sleeps");
    }

    /// Every CPU overwrites its ring again and again, interrupts record in between, and a reader reads all rings: it
    /// sees whole events in order.
    fn rings_are_read_while_they_are_written() needs(MemoryMib(24)) {
        skip_if!(tracepoint::is_any_on(), "tracing is on for the whole run");
        // Memory for each CPU's ring.
        static DONE: AtomicBool = AtomicBool::new(false);
        DONE.store(false, SeqCst);
        check!(trace::start() == Ok(()));
        let cpus = online();
        let rounds = 2 * params::registry::TRACE_BUFFER_EVENTS.get().next_power_of_two();
        let writers: Vec<_> = cpus
            .iter()
            .map(|cpu| {
                sched::spawn_on(CpuMask::single(*cpu), "test/writer", move || {
                    let mut number = 0;
                    while number < rounds || !DONE.load(SeqCst) {
                        tracepoint::event(EventClass::Fault, || Event::PageFault { address: number });
                        number += 1;
                    }
                })
            })
            .collect();
        let reader = sched::spawn("test/reader", || {
            for _ in 0..2 {
                for cpu in online() {
                    let mut last = (0, None);
                    // The oldest events are being overwritten.
                    for (ticks, _, event) in trace::last_events(cpu, u64::MAX) {
                        assert!(ticks >= last.0, "cpu {cpu}: time goes back");
                        last.0 = ticks;
                        if let Event::PageFault { address } = event {
                            let is_next = last.1.is_none_or(|before| address > before);
                            assert!(is_next, "cpu {cpu}: {address} after {:?}", last.1);
                            last.1 = Some(address);
                        }
                    }
                }
            }
            DONE.store(true, SeqCst);
        });
        if reader.is_err() {
            DONE.store(true, SeqCst);
        }
        for thread in writers.into_iter().flatten() {
            thread.join();
        }
        let was_read = reader.map(|reader| reader.join()).is_ok();
        check!(trace::stop());
        check!(was_read, "no thread could be started");
        for cpu in cpus {
            let kept = events_of(cpu, tracepoint::recorded(cpu).saturating_sub(rounds / 2));
            check!(in_order(&kept));
            check!(kept.len() as u64 == rounds / 2, "cpu {cpu} kept {} events", kept.len());
            let numbers: Vec<u64> = kept
                .iter()
                .filter_map(|(.., event)| match event {
                    Event::PageFault { address } => Some(*address),
                    _ => None,
                })
                .collect();
            let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
            check!(gap.is_none(), "cpu {cpu}: {gap:?} are adjacent");
        }
    }

    /// A dump writes each event or counts it as lost, and a second dump does not repeat it.
    fn a_dump_writes_every_event_once() {
        skip_if!(tracepoint::is_any_on(), "tracing is on for the whole run");
        check!(trace::start() == Ok(()));
        let before: u64 = online().iter().map(|cpu| tracepoint::recorded(*cpu)).sum();
        for _ in 0..10 {
            if let Ok(thread) = sched::spawn("test/short", || {}) {
                thread.join();
            }
        }
        trace::stop();
        // A thread that was recording an event at that time has finished, and has left its CPU.
        for cpu in online() {
            check!(super::sched::on_cpu(cpu, || ()).is_some(), "no thread on cpu {cpu}");
        }
        let recorded = online().iter().map(|cpu| tracepoint::recorded(*cpu)).sum::<u64>() - before;
        let stats = trace::dump();
        // The dump also has the events between `start` and `before`.
        check!(stats.events >= recorded && stats.lost == 0, "{recorded} recorded, {stats:?}");
        check!(trace::dump() == trace::DumpStats::default());
    }
}
