//! `cpus`, `offline`, `online` and `uptime`: CPUs and their load.

use protocol::record::{Record, TEXT_MAX_BYTES, clip};
use shell::table::Table;

use super::output::{Outcome, print_table};
use crate::arch::tsc;
use crate::console::{print_line, records};
use crate::mm::page_cache;
use crate::sched::snapshot::{self, CpuReport};
use crate::sched::{self, hotplug};

/// Lists all CPUs, as a table and as records.
pub fn list() {
    let t_ns = tsc::now_ns();
    let mut table = Table::new([
        "cpu>",
        "node>",
        "state",
        "running",
        "waiting>",
        "idle>",
        "switches>",
        "interrupts>",
        "refills>",
        "flushes>",
    ]);
    for cpu in snapshot::cpu_reports() {
        let caches = page_cache::stats(cpu.cpu);
        let running = cpu.running.as_ref().map_or("", |thread| thread.name());
        table.row([
            &cpu.cpu,
            &cpu.node,
            &state(&cpu),
            &running,
            &cpu.nr_queued,
            &Percent(cpu.idle_ns, t_ns),
            &cpu.switches,
            &cpu.interrupts,
            &caches.refills,
            &caches.flushes,
        ]);
        records::emit(&Record::Cpu {
            t_ns,
            cpu: cpu.cpu as u32,
            node: cpu.node as u32,
            online: cpu.is_online,
            running: clip(running, TEXT_MAX_BYTES),
            waiting: cpu.nr_queued,
            idle_ns: cpu.idle_ns,
            switches: cpu.switches,
            interrupts: cpu.interrupts,
        });
    }
    print_table(&table);
}

fn state(cpu: &CpuReport) -> &'static str {
    match (cpu.is_online, &cpu.running) {
        (true, _) => "online",
        (false, Some(_)) => "offline",
        (false, None) => "never came",
    }
}

/// Takes a CPU offline.
pub fn offline(cpu: usize) -> Outcome {
    hotplug::offline(cpu).map_err(|error| alloc::format!("{error}"))?;
    print_line(format_args!("cpu {cpu} is offline; {} online", sched::online_cpus().count()));
    Ok(())
}

/// Brings a CPU online.
pub fn online(cpu: usize) -> Outcome {
    hotplug::online(cpu).map_err(|error| alloc::format!("{error}"))?;
    print_line(format_args!("cpu {cpu} is online; {} online", sched::online_cpus().count()));
    Ok(())
}

/// Prints the uptime and the idle share of all CPUs in one line.
pub fn uptime() {
    let up_ns = tsc::now_ns();
    let (mut cpus, mut idle_ns) = (0, 0);
    for cpu in snapshot::cpu_reports().filter(|cpu| cpu.running.is_some()) {
        (cpus, idle_ns) = (cpus + 1, idle_ns + cpu.idle_ns);
    }
    print_line(format_args!(
        "up {}.{:03} s; {} of {cpus} cpus online; {} threads; {} idle",
        up_ns / 1_000_000_000,
        up_ns / 1_000_000 % 1000,
        sched::online_cpus().count(),
        sched::thread_count(),
        Percent(idle_ns, up_ns * cpus)
    ));
}

/// A part of a whole, printed as a percentage.
struct Percent(u64, u64);

impl core::fmt::Display for Percent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let permille = u128::from(self.0) * 1000 / u128::from(self.1.max(1));
        write!(f, "{}.{} %", permille / 10, permille % 10)
    }
}
