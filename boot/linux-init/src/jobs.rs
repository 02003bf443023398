//! The jobs that Linux and the ktask kernel both have.
//!
//! The rules are the kernel's (`docs/timing.md`): memory was written before, pages are dirty before each run, and every byte is
//! read back. The first round of each job is not reported: it touches memory for the first time.

use crate::files::{File, Mapping, Path, make_folder, mount, parameter, remove, set_parameter};
use crate::records::{Records, Run};
use crate::system::{Error, cpu_ns, now_ns};
use protocol::record::Unit;

/// What to do.
pub struct Plan {
    /// Bytes that each job works on.
    pub bytes: usize,
    /// Reported runs of each job.
    pub repeat: usize,
}

const MIB_2: usize = 2 << 20;
const GIB: usize = 1 << 30;

/// Pages that move to the pool and back in `huge-pool`, as in the ktask kernel.
const POOL_PAGES: usize = 512;

const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
const GIGANTIC_POOL: &str = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";

/// Times `action`; returns its result, and the wall and CPU time in nanoseconds.
fn timed<R>(action: impl FnOnce() -> R) -> (R, u64, u64) {
    let (cpu, start) = (cpu_ns(), now_ns());
    let result = action();
    let ns = now_ns() - start;
    (result, ns, cpu_ns() - cpu)
}

/// Times the jobs of huge pages: `huge-pool`, `fallocate` and `punch-hole`. Returns whether every result was right.
pub fn huge(plan: &Plan, records: &mut Records) -> Result<bool, Error> {
    let (pool, free) = (Path::new(POOL), Path::new(FREE));
    let mut is_right = true;
    for round in 0..=plan.repeat {
        let (grown, there_ns, there_cpu_ns) = timed(|| set_parameter(&pool, POOL_PAGES));
        grown?;
        let units = parameter(&pool)?;
        let (shrunk, back_ns, back_cpu_ns) = timed(|| set_parameter(&pool, 0));
        shrunk?;
        let ok = units > 0 && parameter(&pool)? == 0;
        is_right &= ok;
        if round > 0 {
            let (ns, cpu_ns) = (there_ns + back_ns, there_cpu_ns + back_cpu_ns);
            let (job, unit) = ("huge-pool", Unit::Page2M);
            records.job(&Run { job, unit, units, writes: false, ns, cpu_ns, ok })?;
        }
    }
    let pages = plan.bytes / MIB_2;
    set_parameter(&pool, pages)?;
    if parameter(&pool)? < pages {
        records.warning("linux has not so many huge pages of 2 MiB")?;
        return Ok(is_right);
    }
    let place = "/huge";
    make_folder(&Path::new(place))?;
    mount(&Path::new("hugetlbfs"), &Path::new(place), &Path::new("pagesize=2M"))?;
    for round in 0..=plan.repeat {
        let name = Path::new("/huge/file");
        let file = File::open(&name)?;
        let fallocate = allocate(&file, Unit::Page2M, pages, pages * MIB_2)?;
        let mapping = Mapping::of(&file, pages * MIB_2)?;
        // Every page must be mapped, so that the hole unmaps it; `allocate` has dirtied it through another mapping.
        let is_dirty = !mapping.is_zero();
        // SAFETY: the mapping is not read or written again.
        let (punched, ns, cpu_ns) = timed(|| unsafe { file.punch_hole(pages * MIB_2) });
        punched?;
        let ok = is_dirty && parameter(&free)? == pages;
        let (job, unit) = ("punch-hole", Unit::Page2M);
        let punch_hole = Run { job, unit, units: pages, writes: false, ns, cpu_ns, ok };
        drop((mapping, file));
        remove(&name)?;
        is_right &= fallocate.ok && ok;
        if round > 0 {
            records.job(&fallocate)?;
            records.job(&punch_hole)?;
        }
    }
    Ok(is_right)
}

/// Times the jobs of one page of 1 GiB: `fallocate` and `gigantic-fault`. Returns whether every result was right.
pub fn gigantic(plan: &Plan, records: &mut Records) -> Result<bool, Error> {
    let pool = Path::new(GIGANTIC_POOL);
    // A CPU without such pages has no such pool.
    let has_page = plan.bytes >= GIB && set_parameter(&pool, 1).is_ok() && parameter(&pool)? == 1;
    if !has_page {
        records.warning("linux has no page of 1 GiB, or the jobs work on less")?;
        return Ok(true);
    }
    make_folder(&Path::new("/gigantic"))?;
    mount(&Path::new("hugetlbfs"), &Path::new("/gigantic"), &Path::new("pagesize=1G"))?;
    let mut is_right = true;
    for round in 0..=plan.repeat {
        let name = Path::new("/gigantic/file");
        let file = File::open(&name)?;
        let fallocate = allocate(&file, Unit::Page1G, 1, GIB)?;
        drop(file);
        remove(&name)?;
        // The pool's only page, which `allocate` has dirtied.
        let file = File::open(&name)?;
        file.set_size(GIB)?;
        let mut mapping = Mapping::of(&file, GIB)?;
        let (first, ns, cpu_ns) = timed(|| mapping.first());
        let (job, unit, ok) = ("gigantic-fault", Unit::Page1G, first == 0 && mapping.is_zero());
        let fault = Run { job, unit, units: 1, writes: true, ns, cpu_ns, ok };
        mapping.make_dirty();
        drop((mapping, file));
        remove(&name)?;
        is_right &= fallocate.ok && ok;
        if round > 0 {
            records.job(&fallocate)?;
            records.job(&fault)?;
        }
    }
    set_parameter(&pool, 0)?;
    Ok(is_right)
}

/// Times the allocation of a file's first `bytes`, reads them back, and makes them dirty.
fn allocate(file: &File, unit: Unit, units: usize, bytes: usize) -> Result<Run, Error> {
    let (allocated, ns, cpu_ns) = timed(|| file.allocate(bytes));
    allocated?;
    let mut mapping = Mapping::of(file, bytes)?;
    let ok = mapping.is_zero();
    mapping.make_dirty();
    Ok(Run { job: "fallocate", unit, units, writes: true, ns, cpu_ns, ok })
}
