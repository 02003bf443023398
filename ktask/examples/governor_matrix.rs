//! Compares the governor with the best fixed thread count, on simulated machines. Prints a table.
//!
//! `cargo run --release -p ktask --features sim --example governor_matrix -- [SEEDS [PART]]` runs the cases with PART in
//! their name, with as many seeds each.

#[path = "../tests/common/matrix.rs"]
mod matrix;

use matrix::{Outcome, all};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds = arguments.next().map_or(20, |seeds| seeds.parse().expect("SEEDS is a number from 1 on"));
    let part = arguments.next().unwrap_or_default();
    println!("{:60} {:>5} {:>14} {:>14}", "case", "best", "time", "CPU time");
    println!("{:60} {:>5} {:>7}{:>7} {:>7}{:>7}", "", "count", "median", "worst", "median", "worst");
    let mut worst = (0.0_f64, 0.0_f64, 0.0_f64);
    let (mut runs, mut slow, mut dear) = (0, 0, 0);
    for case in all() {
        let name = format!("{:?} {:?} {:?}", case.shape, case.cost, case.trouble);
        if !name.contains(&part) {
            continue;
        }
        let outcome = Outcome::of(&case, seeds, seeds.min(2));
        let ((median, largest), (cpu_median, cpu_largest)) = (outcome.times(), outcome.cpu_times());
        println!("{name:60} {:5} {median:7.3}{largest:7.3} {cpu_median:7.3}{cpu_largest:7.3}", outcome.best);
        if std::env::var_os("TRAIL").is_some() {
            let by_time = |one: &(usize, &(f64, f64))| ((one.1.0 + one.1.1) * 1e6) as u64;
            let seed =
                outcome.ratios.iter().enumerate().max_by_key(by_time).map_or(1, |one| one.0 as u64 + 1);
            let trail = ktask::Trail::new();
            println!("seed {seed} {:?}", case.run(seed, None, &trail));
            for step in trail.steps() {
                println!("{step:?}");
            }
        }
        runs += outcome.ratios.len();
        slow += outcome.ratios.iter().filter(|(time, _)| *time > 1.25).count();
        dear += outcome.ratios.iter().filter(|(_, cpu_time)| *cpu_time > 1.3).count();
        worst = (worst.0.max(median), worst.1.max(largest), worst.2.max(cpu_largest));
    }
    println!("of {runs} runs, {slow} above 1.25 in time and {dear} above 1.3 in CPU time");
    println!("largest median {:.3}, worst {:.3}, CPU time {:.3}", worst.0, worst.1, worst.2);
}
