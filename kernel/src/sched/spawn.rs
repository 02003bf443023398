//! How threads begin, end and are joined.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering::SeqCst;

use runqueue::{CpuMask, Nice, Tid};

use trace::Named;

use super::group::Group;
use super::park::exit_current;
use super::place::{self, EnqueueReason};
use super::reap::reap;
use super::resched::make_runnable;
use super::switch::finish_switch;
use super::table::{self, MAX_THREADS};
use super::thread::{self, Thread};
use crate::arch::context;
use crate::arch::percpu::{self, CpuId};
use crate::arch::{tracepoint, tsc};
use crate::mm::stacks::Stack;

/// Why a thread could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnError {
    /// There are [`MAX_THREADS`] already.
    TooManyThreads,
    /// There is no memory for a stack.
    NoStack,
    /// None of the allowed CPUs is online.
    NoSuchCpu,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyThreads => write!(f, "there are {MAX_THREADS} threads already, the most"),
            Self::NoStack => write!(f, "no memory for a thread's stack"),
            Self::NoSuchCpu => write!(f, "none of the cpus that the thread may run on is online"),
        }
    }
}

/// A running or ended thread that can be joined. If the handle is dropped, the thread goes on by itself.
#[derive(Clone)]
pub struct JoinHandle {
    thread: Arc<Thread>,
}

impl JoinHandle {
    /// Blocks until the thread has ended. Clones may be joined as well, at any time; after the end they return at once.
    ///
    /// # Panics
    /// In debug builds, when the calling thread joins itself: it would wait for ever (invariant 27).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn join(self) {
        debug_assert!(
            !core::ptr::eq(&*self.thread, thread::current()),
            "invariant 27: thread {} joins itself",
            self.thread.name()
        );
        self.thread.ended.wait();
    }

    /// Returns the thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }
}

/// Starts a thread that may run on any CPU.
pub fn spawn(name: &str, entry: impl FnOnce() + Send + 'static) -> Result<JoinHandle, SpawnError> {
    Spawn::new(name).start(entry)
}

/// Starts a thread that runs only on the CPUs of `allowed`.
pub fn spawn_on(
    allowed: CpuMask,
    name: &str,
    entry: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle, SpawnError> {
    Spawn::new(name).on(allowed).start(entry)
}

/// A thread to be started: where it may run, and with which weight.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'a> {
    name: &'a str,
    allowed: CpuMask,
    nice: Nice,
    is_idle_class: bool,
    node: Option<usize>,
    group: Option<&'a Arc<Group>>,
}

impl<'a> Spawn<'a> {
    /// A thread of default weight that may run on any CPU.
    pub const fn new(name: &'a str) -> Self {
        Self {
            name,
            allowed: CpuMask::ALL,
            nice: Nice::DEFAULT,
            is_idle_class: false,
            node: None,
            group: None,
        }
    }

    /// Restricts the thread to the CPUs of `allowed`.
    pub const fn on(self, allowed: CpuMask) -> Self {
        Self { allowed, ..self }
    }

    /// Gives the thread the weight of `nice`.
    pub const fn nice(self, nice: Nice) -> Self {
        Self { nice, ..self }
    }

    /// Puts the thread into the idle class: it runs only when no other thread is runnable.
    pub const fn idle_class(self) -> Self {
        Self { is_idle_class: true, ..self }
    }

    /// Has the thread prefer the CPUs of memory node `node`.
    pub const fn node(self, node: usize) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Puts the thread into `group` instead of its creator's.
    #[inline]
    pub const fn group(self, group: &'a Arc<Group>) -> Self {
        Self { group: Some(group), ..self }
    }

    /// Starts the thread.
    pub fn start(self, entry: impl FnOnce() + Send + 'static) -> Result<JoinHandle, SpawnError> {
        reap();
        let stack = Stack::new().ok_or(SpawnError::NoStack)?;
        let top = stack.top();
        let cpu = place::choose_cpu_for_new(&self.allowed, self.node).ok_or(SpawnError::NoSuchCpu)?;
        let creator = thread::current();
        let inherited = if creator.is_idle() { Group::root() } else { creator.group() };
        let group = self.group.unwrap_or(inherited).clone();
        let thread =
            table::enter(|tid| Thread::new(tid, self.name.into(), Some(stack), self.allowed, cpu, group));
        let thread = thread.ok_or(SpawnError::TooManyThreads)?;
        thread.set_preferred_node(self.node);
        match self.is_idle_class {
            true => thread.entity.set_idle_class(),
            false => thread.entity.set_nice(self.nice),
        }
        *thread.entry.lock() = Some(Box::new(entry));
        // SAFETY:
        // 1. The stack is new (or its last thread has ended), mapped, and 16-aligned at its top.
        // 2. The thread is in no queue yet, so no CPU touches `saved_sp`.
        unsafe {
            *thread.saved_sp() = context::prepare(top, thread_main, Arc::as_ptr(&thread) as usize);
        }
        tracepoint::name(Named::Thread, thread.tid().get(), self.name);
        make_runnable(&thread, EnqueueReason::New);
        Ok(JoinHandle { thread })
    }
}

/// Runs a new thread's entry function, then ends the thread.
extern "C" fn thread_main(thread: usize, prev_and_state: usize) -> ! {
    finish_switch(prev_and_state);
    x86_64::instructions::interrupts::enable();
    // SAFETY: `Spawn::start` passed the thread's own address; the table keeps the thread while it runs.
    let thread = unsafe { &*(thread as *const Thread) };
    let entry = thread.entry.lock().take();
    if let Some(entry) = entry {
        entry();
    }
    thread.begin_to_end();
    // Before the end is published: a thread that has seen it finds this one counted (`table::ended_count`).
    table::note_ended();
    thread.ended.complete();
    // No preemption from here on: a switch away from an ended thread leaves it to be
    // freed, so it must not be queued again.
    x86_64::instructions::interrupts::disable();
    thread.has_ended.store(true, SeqCst);
    exit_current()
}

/// Makes the code that runs on this CPU its idle thread, and returns its number.
pub(super) fn adopt_idle(cpu: CpuId) -> Tid {
    let name = alloc::format!("idle/{cpu}");
    let (number, group) = (cpu.index(), Group::of_idle_threads());
    let make = |tid| Thread::new(tid, name, None, CpuMask::single(number), number, group.clone());
    let thread = table::enter(make)
        .unwrap_or_else(|| panic!("idle thread of cpu {cpu}: {}", SpawnError::TooManyThreads));
    let now_ns = tsc::now_ns();
    thread.enter_cpu();
    thread.account.note_queued(now_ns);
    thread.account.note_running(now_ns);
    thread.account.note_cpu(number);
    group.enter(number, now_ns);
    percpu::set_current(Arc::as_ptr(&thread).cast_mut().cast(), thread.tid().get());
    thread.tid()
}
