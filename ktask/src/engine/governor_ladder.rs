//! The thread counts of a search: those that were compared, and which comes next.

use super::governor_bounds::{FEWER_SHARE, FINE, FIRST_SHARE, LIKELY_MOST, MORE_SHARE, WORTHWHILE};
use super::governor_verdict::Verdict;
use super::governor_view::Setting;
use super::measure::{Measured, Ratio};

/// Counts whose measurements are kept.
const KNOWN_COUNTS: usize = 4;

/// A thread count and its measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) wanted: usize,
    /// Workers that really ran.
    pub(super) ran: usize,
    pub(super) measured: Option<Measured>,
}

/// A count that was measured earlier.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// 0 if there is none.
    wanted: u32,
    ran: u32,
    measured: Measured,
}

/// A count that was found to be too small or too large.
#[derive(Clone, Copy, Debug)]
struct Limit {
    wanted: usize,
    is_sure: bool,
}

/// The counts of a search.
#[derive(Debug)]
pub(super) struct Ladder {
    /// The best count so far.
    pub(super) anchor: Count,
    /// A second measurement of the anchor, after that of the candidate.
    pub(super) after: Option<Measured>,
    /// The count that is compared with it.
    pub(super) candidate: Count,
    /// The largest count that is known to be too small.
    too_few: Option<Limit>,
    /// The smallest count above the anchor that is known not to be worthwhile.
    too_many: Option<Limit>,
    /// Whether no other count between the known ones is worth a trial.
    is_refined: bool,
    /// Whether twice as many threads are tried before more.
    doubles: bool,
    /// Whether a count between the known ones is to be tried later.
    is_open: bool,
    /// A count that is tried again before all others.
    again: Option<usize>,
    known: [Known; KNOWN_COUNTS],
}

impl Ladder {
    /// Makes the ladder of a search that begins with `wanted` threads.
    #[inline(always)]
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            anchor: Count::new(wanted),
            after: None,
            candidate: Count::default(),
            too_few: None,
            too_many: None,
            is_refined: false,
            doubles: false,
            is_open: false,
            again: None,
            known: [Known::default(); KNOWN_COUNTS],
        }
    }

    /// Begins anew with `wanted` threads, as if nothing was known.
    pub(super) fn restart(&mut self, wanted: usize, doubles: bool) {
        self.doubles = doubles;
        (self.anchor, self.after, self.candidate) = (Count::new(wanted), None, Count::default());
        (self.too_few, self.too_many, self.again) = (None, None, None);
        (self.is_refined, self.is_open) = (false, false);
        self.known = [Known::default(); KNOWN_COUNTS];
    }

    /// Has only counts below the anchor tried.
    pub(super) fn go_down(&mut self) {
        self.too_many = Some(Limit { wanted: usize::MAX, is_sure: true });
    }

    /// Returns whether the candidate has more threads than the anchor.
    pub(super) fn goes_up(&self) -> bool {
        self.candidate.wanted > self.anchor.wanted
    }

    /// Returns the rate of anchor or candidate, whichever is `wanted`; 0 if it is unknown.
    pub(super) fn rate_of(&self, wanted: usize) -> u64 {
        let count = [&self.anchor, &self.candidate].into_iter().find(|count| count.wanted == wanted);
        count.and_then(|count| count.measured).map_or(0, |measured| measured.rate)
    }

    /// Returns whether `running` workers of the candidate, or of the anchor if it `is_anchor`, are different enough from
    /// those of the other one to tell anything: at least half of the difference that was wanted.
    pub(super) fn differs(&self, is_anchor: bool, running: usize) -> bool {
        let other = if is_anchor { self.candidate.ran } else { self.anchor.ran };
        let wanted = self.candidate.wanted.abs_diff(self.anchor.wanted);
        running.abs_diff(other) * 2 >= wanted && (running > other) == (self.goes_up() != is_anchor)
    }

    /// Returns the ratio of rates with half of what threads in proportion would bring.
    pub(super) fn half_of_proportion(&self) -> u64 {
        let (anchor, candidate) = (self.anchor.ran.max(1) as u64, self.candidate.ran.max(1) as u64);
        (1000 + anchor.max(candidate) * 1000 / anchor.min(candidate)) / 2
    }

    /// Returns the ratio of rates from which on the larger count is more likely worthwhile than not: with a
    /// quarter of what threads in proportion would bring.
    pub(super) fn likely(&self) -> u64 {
        ((1000 + self.half_of_proportion()) / 2).min(LIKELY_MOST)
    }

    /// Returns the units that a measurement on `threads` threads may take of the `left` ones. They are fewer with
    /// fewer threads, which take longer for them. `is_first` tells that it is one of the anchor alone. The job may have
    /// `max` threads.
    pub(super) fn budget(&self, is_first: bool, threads: usize, max: usize, left: u64) -> u64 {
        let share = match self.goes_up() {
            _ if is_first => FIRST_SHARE,
            true => MORE_SHARE,
            false => FEWER_SHARE,
        };
        // What was found to be too many is no measure of the time that a trial takes.
        let most = match self.too_many {
            None => max,
            Some(_) if is_first => threads,
            Some(_) => self.candidate.wanted.max(self.anchor.wanted),
        };
        (u128::from(left) * threads as u128 / (u128::from(share) * most.max(1) as u128)) as u64
    }

    /// Returns a limit of the anchor of which the last trial was not sure: first of the upper one, or of
    /// the lower one.
    fn doubtful(&self, upper_first: bool) -> Option<usize> {
        let limits = if upper_first { [self.too_many, self.too_few] } else { [self.too_few, self.too_many] };
        limits.into_iter().flatten().filter(|limit| !limit.is_sure).map(|limit| limit.wanted).next()
    }

    /// Returns the most of up to `max` threads that may be worthwhile: more than the anchor only if a trial of more was
    /// not sure.
    pub(super) fn most(&self, max: usize) -> usize {
        match self.too_many.filter(|limit| !limit.is_sure) {
            None => self.anchor.wanted,
            // What is twice as many, or more, was tried before counts in between.
            Some(limit) if limit.wanted >= 2 * self.anchor.wanted => max,
            Some(limit) => limit.wanted,
        }
    }

    /// Returns whether a trial was not sure, or put off.
    pub(super) fn has_doubt(&self) -> bool {
        self.is_open || self.doubtful(true).is_some()
    }

    /// Has a trial that was not sure repeated, by a measurement of the anchor first. With `upper_first`, one of
    /// more threads, which may save time, is preferred to one of fewer, which may save CPU time.
    pub(super) fn doubt(&mut self, upper_first: bool, keeps_known: bool) {
        self.again = self.doubtful(upper_first);
        (self.anchor, self.after) = (self.recall(self.anchor.wanted, keeps_known), None);
    }

    /// Has counts between the known ones tried later.
    pub(super) fn put_off(&mut self) {
        self.is_open = true;
    }

    /// Makes `wanted` the candidate. Earlier measurements of it count half, if it `keeps_known`.
    pub(super) fn try_count(&mut self, wanted: usize, keeps_known: bool) {
        (self.candidate, self.after) = (self.recall(wanted, keeps_known), None);
    }

    #[inline(never)]
    fn recall(&self, wanted: usize, keeps_known: bool) -> Count {
        match self.known_of(wanted).filter(|_| keeps_known) {
            Some(known) => Count { wanted, ran: known.ran as usize, measured: Some(known.measured.aged()) },
            None => Count::new(wanted),
        }
    }

    fn known_of(&self, wanted: usize) -> Option<&Known> {
        self.known.iter().find(|known| known.wanted as usize == wanted)
    }

    /// Keeps a measured count, in place of the count that is farthest from the anchor.
    #[inline(never)]
    fn remember(known: &mut [Known], anchor: usize, count: &Count) {
        let Some(measured) = count.measured else { return };
        let age = |known: &Known| match known.wanted as usize {
            wanted if wanted == count.wanted => usize::MAX,
            0 => usize::MAX - 1,
            wanted => wanted.abs_diff(anchor),
        };
        if let Some(place) = known.iter_mut().max_by_key(|known| age(known)) {
            *place = Known { wanted: count.wanted as u32, ran: count.ran as u32, measured };
        }
    }

    /// Returns the measured counts below the anchor, or those above.
    fn next_known(&self, is_above: bool) -> Option<Limit> {
        let anchor = self.anchor.wanted;
        let wanted = self.known.iter().map(|known| known.wanted as usize);
        let wanted = wanted.filter(|&wanted| wanted != 0 && wanted != anchor);
        let next =
            wanted.filter(|&wanted| (wanted > anchor) == is_above).min_by_key(|one| one.abs_diff(anchor));
        next.map(|wanted| Limit { wanted, is_sure: false })
    }

    /// Ends a trial: the better count becomes the anchor, and the other a limit.
    #[inline(never)]
    pub(super) fn conclude(&mut self, verdict: Verdict) {
        if let Some(after) = self.after.take() {
            self.anchor.measured = Some(after);
        }
        Self::remember(&mut self.known, self.anchor.wanted, &self.anchor);
        Self::remember(&mut self.known, self.anchor.wanted, &self.candidate);
        let is_sure = verdict.is_sure;
        let loser = if self.goes_up() == verdict.is_worthwhile { self.anchor } else { self.candidate };
        let limit = Some(Limit { wanted: loser.wanted, is_sure });
        let was_limit =
            |limit: Option<Limit>| limit.is_some_and(|limit| limit.wanted == self.candidate.wanted);
        let (was_too_few, was_too_many) = (was_limit(self.too_few), was_limit(self.too_many));
        match (self.goes_up(), verdict.is_worthwhile) {
            (true, true) => {
                self.anchor = self.candidate;
                self.too_few = limit;
                if was_too_many {
                    self.too_many = self.next_known(true);
                    self.is_refined = false;
                }
            }
            (true, false) => self.too_many = limit,
            (false, true) => {
                // The rate bends between the two, if they are close: there is no corner to find.
                let is_close = self.candidate.wanted * 4 >= self.anchor.wanted * 3;
                self.is_refined |= self.too_few.is_some() && !was_too_few && is_close;
                self.too_few = limit;
            }
            (false, false) => {
                self.anchor = self.candidate;
                self.too_many = limit;
                if was_too_few {
                    self.too_few = self.next_known(false);
                    self.is_refined = false;
                }
            }
        }
    }

    /// Returns the next count to try.
    #[inline(never)]
    pub(super) fn next_count(&mut self, setting: &Setting) -> Option<usize> {
        let anchor = self.anchor.wanted;
        let measured = self.anchor.measured?;
        if let Some(again) = self.again.take() {
            return Some(again);
        }
        if self.too_many.is_none() && anchor < setting.max {
            let middle = if self.doubles { setting.even(2 * anchor) } else { setting.middle_count() };
            return Some(if anchor < middle { middle } else { setting.max });
        }
        let Some(too_few) = self.too_few else {
            let half = setting.even((anchor / 2).max(1));
            return (half < anchor).then_some(half);
        };
        let too_few = self.known_of(too_few.wanted)?;
        if self.is_refined {
            return None;
        }
        let (fewer, too_few_ran) = (too_few.measured, too_few.ran as usize);
        // Threads speed a job up in proportion at most: fewer than these cannot reach the rate.
        let ratio = Ratio::of(&measured, &fewer);
        let mut least = (ratio.value * too_few_ran as u64).div_ceil(WORTHWHILE) as usize;
        let proportional = self.anchor.ran as u64 * 1000 / (too_few_ran as u64).max(1);
        let almost = proportional / 20 * 19;
        let is_open = core::mem::take(&mut self.is_open);
        if ratio.deviation > FINE && ratio.value + ratio.deviation > almost && !is_open {
            // Later, it may pay to look.
            self.is_open = ratio.value < almost + ratio.deviation / 2;
            return None;
        }
        if ratio.deviation > FINE && (least < self.anchor.ran || is_open) {
            // The rates do not tell more than that there may be such a count.
            least = (too_few_ran + self.anchor.ran).div_ceil(2);
        }
        let least = setting.even(least.max(too_few_ran + 1));
        if least + (self.anchor.ran / 16).max(1) <= self.anchor.ran.min(anchor) {
            return Some(least);
        }
        self.is_refined = true;
        // The rate may have a peak above the anchor, if that can be told.
        if ratio.deviation > FINE {
            return None;
        }
        let most = self.too_many.map_or(anchor, |limit| limit.wanted);
        let above = setting.even((anchor * 4).div_ceil(3));
        (above < most).then_some(above)
    }
}

impl Count {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Returns the mean of what was measured and `measured`.
    pub(super) fn with(&self, measured: &Measured) -> Measured {
        self.measured.map_or(*measured, |before| before.and(measured))
    }
}

#[cfg(test)]
mod tests;
