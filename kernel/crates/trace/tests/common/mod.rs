//! A strategy for arbitrary events.

use proptest::prelude::*;
use trace::event::{AMOUNT_END, ID_END};
use trace::{Event, Named, Outcome, Why};

pub fn any_event() -> impl Strategy<Value = Event> {
    let id = || 0..ID_END;
    let amount = || prop_oneof![0..100u64, 0..AMOUNT_END, Just(AMOUNT_END - 1)];
    let why = prop_oneof![
        Just(Why::Preempted),
        Just(Why::Moves),
        Just(Why::Blocked),
        Just(Why::Ended),
        Just(Why::Idle)
    ];
    let outcome = prop_oneof![
        Just(Outcome::Complete),
        Just(Outcome::Failed),
        Just(Outcome::Cancelled),
        Just(Outcome::DeadlinePassed)
    ];
    let what = prop_oneof![Just(Named::Thread), Just(Named::Job)];
    prop_oneof![
        (id(), why, any::<u32>()).prop_map(|(next, why, waiting)| Event::Switch { next, why, waiting }),
        (id(), any::<u16>()).prop_map(|(thread, cpu)| Event::Wake { thread, cpu }),
        (id(), any::<u16>(), any::<u16>()).prop_map(|(thread, from, to)| Event::Migrate { thread, from, to }),
        (any::<u8>(), any::<u16>()).prop_map(|(vector, to)| Event::IpiSend { vector, to }),
        any::<u8>().prop_map(|vector| Event::InterruptEnter { vector }),
        any::<u8>().prop_map(|vector| Event::InterruptExit { vector }),
        Just(Event::HaltEnter),
        Just(Event::HaltExit),
        (id(), any::<u64>(), any::<u64>()).prop_map(|(job, start, units)| Event::JobBegin {
            job,
            start,
            units
        }),
        (id(), outcome, amount(), any::<u16>()).prop_map(|(job, outcome, chunks, threads)| Event::JobEnd {
            job,
            outcome,
            chunks,
            threads
        }),
        (id(), any::<u16>(), any::<u64>(), amount())
            .prop_map(|(job, worker, start, units)| Event::ChunkBegin { job, worker, start, units }),
        (id(), any::<bool>(), any::<u64>()).prop_map(|(job, ok, start)| Event::ChunkEnd { job, ok, start }),
        any::<u16>().prop_map(|node| Event::PoolFillBegin { node }),
        any::<bool>().prop_map(|filled| Event::PoolFillEnd { filled }),
        any::<u64>().prop_map(|address| Event::PageFault { address }),
        any::<u16>().prop_map(|cpu| Event::CpuOffline { cpu }),
        any::<u16>().prop_map(|cpu| Event::CpuOnline { cpu }),
        (what, id(), 0..128u8, any::<[u8; 16]>()).prop_map(|(what, id, part, bytes)| Event::Name {
            what,
            id,
            part,
            bytes
        }),
    ]
}
