//! Machines of random nodes: threads find idle CPUs, queues even out, and threads stay on their node if they can.
#![cfg(not(loom))]

use proptest::prelude::*;
use runqueue::{CpuMask, Load, choose_cpu, push_to, steal_from};

/// CPUs with threads of equal weight; each CPU belongs to a node.
#[derive(Debug)]
struct Machine {
    node_of: Vec<usize>,
    threads: Vec<u32>,
    moves: usize,
    far_moves: usize,
}

impl Machine {
    fn load(&self, cpu: usize) -> Option<Load> {
        let threads = *self.threads.get(cpu)?;
        Some(Load { nr_queued: threads.saturating_sub(1), running: threads > 0, weight: threads * 1024 })
    }

    fn near(&self, cpu: usize) -> CpuMask {
        (0..self.node_of.len()).filter(|other| self.node_of[*other] == self.node_of[cpu]).collect()
    }

    fn give(&mut self, from: usize, to: usize) {
        self.threads[from] -= 1;
        self.threads[to] += 1;
        self.moves += 1;
        self.far_moves += usize::from(self.node_of[from] != self.node_of[to]);
    }

    /// Has the first CPU that can give away one thread, if that evens things out, as the kernel's balance does.
    fn balance_one(&mut self) -> bool {
        for cpu in 0..self.threads.len() {
            let mut candidates = CpuMask::ALL;
            while let Some((to, difference)) =
                push_to(cpu, &candidates, &self.near(cpu), |cpu| self.load(cpu))
            {
                if difference > 1024 {
                    self.give(cpu, to);
                    return true;
                }
                candidates.remove(to);
            }
        }
        false
    }

    fn steal(&mut self) -> bool {
        let before = self.moves;
        for cpu in 0..self.threads.len() {
            if self.threads[cpu] == 0
                && let Some(from) = steal_from(cpu, &CpuMask::ALL, &self.near(cpu), |cpu| self.load(cpu))
            {
                self.give(from, cpu);
            }
        }
        self.moves > before
    }
}

fn any_machine() -> impl Strategy<Value = Machine> {
    prop::collection::vec((0..4_usize, 0..6_u32), 1..24).prop_map(|cpus| {
        let (node_of, threads) = cpus.into_iter().unzip();
        Machine { node_of, threads, moves: 0, far_moves: 0 }
    })
}

proptest! {
    #[test]
    fn queues_even_out(mut machine in any_machine()) {
        let all: u32 = machine.threads.iter().sum();
        let mut rounds = 0;
        while machine.balance_one() {
            rounds += 1;
            prop_assert!(rounds <= 2000, "threads are sent around for ever: {:?}", machine.threads);
        }
        prop_assert_eq!(machine.threads.iter().sum::<u32>(), all);
        let (least, most) = (machine.threads.iter().min().unwrap(), machine.threads.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{:?}", machine.threads);
    }

    #[test]
    fn threads_leave_their_node_only_if_no_cpu_there_has_less(mut machine in any_machine()) {
        loop {
            let before = (machine.threads.clone(), machine.far_moves);
            if !machine.balance_one() {
                break;
            }
            if machine.far_moves > before.1 {
                let from = (0..before.0.len()).find(|cpu| machine.threads[*cpu] < before.0[*cpu]).unwrap();
                let least = machine.near(from).iter().map(|cpu| before.0[cpu]).min().unwrap();
                prop_assert!(least + 1 >= before.0[from], "{:?} from cpu {from}: {:?}", before.0, machine.node_of);
            }
        }
    }

    #[test]
    fn no_cpu_idles_beside_a_queue(mut machine in any_machine()) {
        let mut rounds = 0;
        while machine.steal() {
            rounds += 1;
            prop_assert!(rounds <= 200, "threads are stolen for ever: {:?}", machine.threads);
        }
        let (idle, waiting) = (machine.threads.contains(&0), machine.threads.iter().any(|threads| *threads > 1));
        prop_assert!(!(idle && waiting), "{:?}", machine.threads);
    }

    /// Waking threads, some of which ran on another node, go to their node if a CPU is idle there, else to any idle CPU.
    #[test]
    fn threads_come_home(machine in any_machine(), home in 0..4_usize, last in 0..24_usize) {
        let home_mask: CpuMask = (0..machine.node_of.len()).filter(|cpu| machine.node_of[*cpu] == home).collect();
        let chosen = choose_cpu(last, &CpuMask::ALL, &home_mask, |cpu| machine.load(cpu)).unwrap();
        let is_idle = |cpu: usize| machine.threads[cpu] == 0;
        let room_at_home = home_mask.iter().any(is_idle);
        let room = (0..machine.threads.len()).any(is_idle);
        prop_assert_eq!(is_idle(chosen), room);
        if room_at_home {
            prop_assert!(home_mask.contains(chosen));
        } else if last < machine.threads.len() && is_idle(last) {
            prop_assert_eq!(chosen, last);
        }
    }
}
