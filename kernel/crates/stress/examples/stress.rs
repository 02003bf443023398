//! `stress`: runs the targets and prints how many inputs they survived.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use stress::targets::{ALL, Target};

const USAGE: &str = "usage: stress [--inputs N] [--seed N] [--first N] [--target NAME]...";
/// Inputs in a batch.
const BATCH: u64 = 50_000;

/// The number of the current input, for a failure's message.
static NUMBER: AtomicU64 = AtomicU64::new(0);

struct Options {
    inputs: u64,
    seed: u64,
    first: u64,
    targets: Vec<&'static Target>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut total = 0;
    let mut is_deep = true;
    for target in &options.targets {
        let Options { inputs, seed, first, .. } = options;
        let name = target.name;
        std::panic::set_hook(Box::new(move |panic| {
            // Relaxed: one thread stores and loads it.
            let number = NUMBER.load(Relaxed);
            eprintln!("{panic}\nrepeat with: --target {name} --seed {seed} --first {number} --inputs 1");
        }));
        let start = Instant::now();
        let (mut fed, mut accepted) = (0, 0);
        while fed < inputs {
            let batch = BATCH.min(inputs - fed);
            // Relaxed: as above.
            let tally = target.feed(seed, first + fed, batch, |number| NUMBER.store(number, Relaxed));
            (fed, accepted) = (fed + tally.inputs, accepted + tally.accepted);
        }
        let seconds = start.elapsed().as_secs_f64();
        let percent = accepted * 100 / fed.max(1);
        println!(
            "{name:<9} {fed:>12} inputs, {percent:>3} % accepted, {:>9.0} inputs/s",
            fed as f64 / seconds
        );
        // A short run repeats a failure; it is not judged.
        is_deep &= fed < BATCH || target.is_deep_enough(stress::targets::Tally { inputs: fed, accepted });
        total += fed;
    }
    println!("{total} inputs survived, seed {}", options.seed);
    if is_deep {
        ExitCode::SUCCESS
    } else {
        eprintln!("too few inputs were accepted: they tested only the parsers' first checks");
        ExitCode::FAILURE
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { inputs: 1_000_000, seed: 1, first: 0, targets: Vec::new() };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument}: a value should follow"))?;
        let number = || value.parse().map_err(|_| format!("{argument} {value}: should be a number"));
        match argument.as_str() {
            "--inputs" => options.inputs = number()?,
            "--seed" => options.seed = number()?,
            "--first" => options.first = number()?,
            "--target" => {
                let names = || ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
                let target = Target::by_name(&value);
                options
                    .targets
                    .push(target.ok_or_else(|| format!("--target {value}: should be one of {}", names()))?);
            }
            _ => return Err(format!("{argument}: no such option")),
        }
    }
    if options.targets.is_empty() {
        options.targets = ALL.iter().collect();
    }
    Ok(options)
}
