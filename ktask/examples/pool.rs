//! A hosted platform with own settings: names, stacks, one CPU per thread, the system's nodes.

use ktask::hosted::{BuildError, Hosted};
use ktask::{Job, NodeId, Platform};

fn main() -> Result<(), BuildError> {
    let settings = Hosted::builder().threads(2).name("worker").stack_size(1 << 20).system_nodes();
    let platform = match settings.clone().pin(true).try_build() {
        // Not every system binds threads, and not every process may.
        Err(error @ (BuildError::PinUnsupported | BuildError::PinRefused { .. })) => {
            println!("{error}; going on without");
            settings.try_build()?
        }
        other => other?,
    };
    for node in (0..platform.nodes()).map(|node| NodeId(node as u32)) {
        println!("node {}: {} CPUs", node.0, platform.online_cpus_of_node(node));
    }
    let stats = Job::new(0..30_u64)
        .max_chunk(1)
        .run(&platform, |chunk| {
            let thread = std::thread::current();
            println!("unit {:2} on {}", chunk.start(), thread.name().unwrap_or("?"));
            std::thread::sleep(std::time::Duration::from_millis(1));
        })
        .expect("neither cancelled nor invalid");
    println!("{} threads", stats.threads_used);

    // A setting out of range is an error that names it.
    let error = Hosted::builder().cpus(0).try_build().expect_err("no CPU");
    println!("{error}");
    Ok(())
}
