//! Reports of threads and CPUs are correct, also while threads start and end.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use runqueue::{CpuMask, Nice};

use super::sched_share::a_quota;
use super::spinners::Spinners;
use super::wait::{Patience, reaches_state, report_of};
use crate::arch::{percpu, tsc};
use crate::debug::ktest::Stopped;
use crate::sched::group::Group;
use crate::sched::snapshot::{self, ThreadState};
use crate::sched::{self, JoinHandle, Spawn};
use crate::{check, kernel_tests};

fn start(spawn: Spawn<'_>, entry: impl FnOnce() + Send + 'static) -> Result<JoinHandle, Stopped> {
    spawn.start(entry).map_err(|error| Stopped::Failed(alloc::format!("{error}")))
}

kernel_tests! { "sched":
    fn a_snapshot_reports_threads() {
        let here = sched::current();
        let Some(report) = report_of(here) else { return Err(Stopped::Failed("this thread is not listed".into())) };
        check!(report.state == ThreadState::Running && report.tid() == here.tid(), "{report:?}");
        check!(report.name() == here.name() && Arc::ptr_eq(report.group(), here.group()), "{report:?}");
        check!(report.nice == Some(Nice::DEFAULT) && report.allowed == here.allowed(), "{report:?}");

        let last = CpuMask::single(sched::online_cpus().iter().last().unwrap_or(0));
        let mut spinners = Spinners::new();
        spinners.start(Spawn::new("test/spinner").on(last))?;
        spinners.start(Spawn::new("test/light").on(last).nice(Nice::MAX))?;
        spinners.start(Spawn::new("test/idle").on(last).idle_class())?;
        let [heavy, light, idle] = spinners.threads() else { return Err(Stopped::Failed("no spinners".into())) };
        // On a machine with one CPU, the thread that takes the snapshot runs.
        let busy = if percpu::online_count() > 1 { ThreadState::Running } else { ThreadState::Ready };
        check!(reaches_state(heavy.thread(), busy));
        check!(reaches_state(light.thread(), ThreadState::Ready));
        let Some(light) = report_of(light.thread()) else { return Err(Stopped::Failed("not listed".into())) };
        check!(light.nice == Some(Nice::MAX) && light.weight == Nice::MAX.weight(), "{light:?}");
        check!(light.usage.migrations == 0 && last.contains(light.cpu), "{light:?}");
        let Some(cpu) = snapshot::cpu_reports().nth(light.cpu) else { return Err(Stopped::Failed("no cpu".into())) };
        check!(cpu.cpu == light.cpu && cpu.node == light.node, "{cpu:?}, {light:?}");
        check!(cpu.nr_queued >= 2 && cpu.weight > 1024, "{cpu:?} with three spinners");
        check!(report_of(idle.thread()).is_some_and(|idle| idle.nice.is_none() && idle.state == ThreadState::Ready));
        // The run delay includes the current wait up to now.
        let run_delay_ns = || idle.thread().usage().run_delay_ns;
        let before_ns = run_delay_ns();
        sched::sleep_ns(20_000_000);
        check!(run_delay_ns() >= before_ns + 20_000_000, "{} ns waited, {before_ns} ns were 20 ms ago", run_delay_ns());
        drop(spinners);

        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let sleeper =
            start(Spawn::new("test/sleeper"), move || while !stopped.load(SeqCst) { sched::sleep_ns(50_000_000) })?;
        let sleeps = reaches_state(sleeper.thread(), ThreadState::Sleeping);
        let stopped = stop.clone();
        let waiter = start(Spawn::new("test/waiter"), move || while !stopped.load(SeqCst) { sched::park(None) })?;
        let blocks = reaches_state(waiter.thread(), ThreadState::Blocked);
        stop.store(true, SeqCst);
        sched::unpark(waiter.thread());
        sleeper.join();
        let ended = waiter.thread().clone();
        waiter.join();
        check!(sleeps && blocks, "reported as sleeping: {sleeps}, as blocked: {blocks}");
        sched::reap_all_exited();
        check!(report_of(&ended).is_none(), "a freed thread is listed");

        let quota = a_quota(1_000_000, 200_000_000);
        let group = Group::new("test", Some(quota));
        let mut limited = Spinners::new();
        limited.start(Spawn::new("test/limited").group(&group))?;
        check!(reaches_state(limited.threads()[0].thread(), ThreadState::Throttled));
    }

    fn a_snapshot_reports_cpus() {
        let Ok(before) = sched::snapshot() else { return Err(Stopped::Failed("no memory".into())) };
        check!(before.cpus.len() == percpu::cpu_count());
        sched::sleep_ns(20_000_000);
        let Ok(after) = sched::snapshot() else { return Err(Stopped::Failed("no memory".into())) };
        check!(after.taken_ns >= before.taken_ns + 20_000_000);
        check!(after.threads.iter().any(|report| report.tid() == sched::current().tid()));
        let me = sched::current_arc();
        let mut mine = 0;
        for (before, after) in before.cpus.iter().zip(&after.cpus) {
            let is_mine = after.running.as_ref().is_some_and(|running| Arc::ptr_eq(running, &me));
            mine += usize::from(is_mine);
            check!(!is_mine || !after.is_idle() && after.weight >= 1024, "{after:?}");
            check!(after.is_online == sched::online_cpus().contains(after.cpu), "{after:?}");
            check!(after.idle_ns >= before.idle_ns && after.switches >= before.switches, "{before:?} {after:?}");
        }
        check!(mine == 1, "this thread runs on {mine} cpus");
        let sum = |pick: fn(&snapshot::CpuReport) -> u64, cpus: &[snapshot::CpuReport]| cpus.iter().map(pick).sum::<u64>();
        // This thread slept: its CPU switched, took the timer's interrupt, and idled or ran another thread.
        check!(sum(|cpu| cpu.switches, &after.cpus) > sum(|cpu| cpu.switches, &before.cpus));
        check!(sum(|cpu| cpu.interrupts, &after.cpus) > sum(|cpu| cpu.interrupts, &before.cpus));
        let idle_ns = sum(|cpu| cpu.idle_ns, &after.cpus) - sum(|cpu| cpu.idle_ns, &before.cpus);
        check!(idle_ns >= 1_000_000, "{idle_ns} ns idle in 20 ms of sleep");
    }

    /// Threads start and end meanwhile. No snapshot touches a freed thread, and each lists every thread that stays.
    fn snapshots_are_right_while_threads_come_and_go() {
        let stop = Arc::new(AtomicBool::new(false));
        let spawners: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                start(Spawn::new("test/spawner"), move || {
                    while !stop.load(SeqCst) {
                        let children: Vec<_> = (0..8).map(|_| sched::spawn("test/child", sched::yield_now)).collect();
                        children.into_iter().flatten().for_each(JoinHandle::join);
                    }
                })
            })
            .collect();
        let (mut result, mut seen) = (Ok(()), 0);
        let start_ns = tsc::now_ns();
        let mut patience = Patience::new(20_000_000_000);
        while result.is_ok() && (seen < 200 || tsc::now_ns() - start_ns < 100_000_000) {
            let (mut me, mut idle, mut spawning) = (0, 0, 0);
            for report in snapshot::threads() {
                me += usize::from(report.tid() == sched::current().tid());
                idle += usize::from(report.thread().is_idle());
                spawning += usize::from(report.name() == "test/spawner");
                seen += usize::from(report.name() == "test/child");
            }
            if (me, idle, spawning) != (1, percpu::online_count(), spawners.len()) {
                let text = alloc::format!("listed: {me} of this thread, {idle} idle ones, {spawning} spawners");
                result = Err(Stopped::Failed(text));
            }
            if !patience.lasts() {
                break;
            }
        }
        stop.store(true, SeqCst);
        for spawner in spawners {
            spawner?.join();
        }
        result?;
        check!(seen >= 200, "only {seen} short-lived threads were seen");
    }
}
