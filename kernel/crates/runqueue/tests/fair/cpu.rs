//! A model of one CPU with its run queue.

use runqueue::{Entities, Entity, FairQueue, Nice, PreemptReason, Tid};

pub(crate) struct Threads(pub(crate) Vec<Entity>);

impl Entities for Threads {
    fn entity(&self, tid: Tid) -> &Entity {
        &self.0[tid.index()]
    }
}

pub(crate) fn tid(number: usize) -> Tid {
    Tid::new(number as u32).unwrap()
}

pub(crate) fn nice(level: i8) -> Nice {
    Nice::new(level).unwrap()
}

/// One CPU with its run queue, and the CPU time of each thread by number.
pub(crate) struct Cpu {
    pub(crate) threads: Threads,
    pub(crate) queue: FairQueue,
    pub(crate) running: Option<Tid>,
    pub(crate) used_ns: Vec<u64>,
    pub(crate) longest_wait_ns: Vec<u64>,
    pub(crate) queued_at_ns: Vec<u64>,
    pub(crate) now_ns: u64,
}

impl Cpu {
    pub(crate) fn new(entities: Vec<Entity>) -> Self {
        let count = entities.len();
        Self {
            threads: Threads(entities),
            queue: FairQueue::new(),
            running: None,
            used_ns: vec![0; count],
            longest_wait_ns: vec![0; count],
            queued_at_ns: vec![0; count],
            now_ns: 0,
        }
    }

    /// Queues a new thread.
    pub(crate) fn arrive(&mut self, number: usize) {
        self.queue.attach(self.threads.entity(tid(number)), self.now_ns);
        self.queue.push(&self.threads, tid(number));
        self.queued_at_ns[number] = self.now_ns;
    }

    /// Wakes a thread that blocked here.
    pub(crate) fn wake(&mut self, number: usize) {
        self.queue.wake(self.threads.entity(tid(number)), self.now_ns);
        self.arrive(number);
    }

    /// Lets the running thread, if any, run for `ns`; then picks the next.
    pub(crate) fn run(&mut self, ns: u64) {
        self.now_ns += ns;
        let next = match self.running {
            None => {
                self.queue.start_charging(self.now_ns);
                self.queue.pop(&self.threads)
            }
            Some(running) => {
                self.used_ns[running.index()] += ns;
                let next = self.pick_next(running);
                if next.is_some() {
                    self.queued_at_ns[running.index()] = self.now_ns;
                }
                next
            }
        };
        if let Some(next) = next {
            self.running = Some(next);
            let waited_ns = self.now_ns - self.queued_at_ns[next.index()];
            self.longest_wait_ns[next.index()] = self.longest_wait_ns[next.index()].max(waited_ns);
        }
    }

    pub(crate) fn pick_next(&mut self, running: Tid) -> Option<Tid> {
        let entity = self.threads.entity(running);
        self.queue.charge_and_pick_next(&self.threads, running, entity, self.now_ns, PreemptReason::SliceOver)
    }

    /// Lets the running thread run for `ns`, then blocks it; returns its number.
    pub(crate) fn run_and_block(&mut self, ns: u64) -> usize {
        let running = self.running.unwrap();
        self.used_ns[running.index()] += ns;
        self.charge_running(ns);
        self.block_running()
    }

    /// Lets `ns` pass, and charges the running thread for them if others wait.
    pub(crate) fn charge_running(&mut self, ns: u64) {
        let entity = self.threads.entity(self.running.unwrap());
        self.now_ns += ns;
        self.queue.charge(&self.threads, entity, self.now_ns);
    }

    pub(crate) fn block_running(&mut self) -> usize {
        let running = self.running.take().unwrap();
        self.queue.detach(self.threads.entity(running));
        running.index()
    }
}

pub(crate) fn of_nice(level: i8) -> Entity {
    let entity = Entity::new();
    entity.set_nice(nice(level));
    entity
}

pub(crate) fn of_idle_class() -> Entity {
    let entity = Entity::new();
    entity.set_idle_class();
    entity
}
