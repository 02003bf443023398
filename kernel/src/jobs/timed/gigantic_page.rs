//! Times clearing one page of 1 GiB by several threads.

use ktask::Stats;

use crate::jobs::timing::{Budget, Failure, JobStats, TimedJob};
use crate::jobs::zero_pages::PageRange;
use crate::mm::huge::HugeSize;
use crate::timed_jobs;

struct GiganticPage(PageRange);

impl TimedJob for GiganticPage {
    fn prepare(_: &Budget) -> Result<Self, Failure> {
        let page = PageRange::new(HugeSize::Size1G, HugeSize::Size1G.bytes());
        Ok(Self(page.ok_or("the page of 1 GiB is gone")?))
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.0.poison();
        Ok(())
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        Ok(self.0.zero(threads)?)
    }

    fn units(&self, _: &Stats) -> u64 {
        1
    }

    fn verify(&mut self, stats: &Stats) -> bool {
        stats.units == self.0.len_pages() && self.0.is_zero()
    }
}

timed_jobs! { "gigantic-page": GiganticPage { order: 90, unit: Page1G, writes: true, needs: [FreeGib(1)] } }
