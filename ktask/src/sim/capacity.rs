//! The memory throughput of a node, by number of threads.

use std::sync::Arc;
use std::vec::Vec;

/// The memory throughput of a node, in units per second, by number of threads.
///
/// It is described by two figures ([`Capacity::new`]), or by the rates of a few thread counts
/// ([`Capacity::through`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    curve: Curve,
}

#[derive(Clone, Debug, PartialEq)]
enum Curve {
    Ideal,
    Levels(Levels),
    Points(Arc<Points>),
}

/// Throughput that no thread notices up to `peak_at` threads, and that changes linearly from there.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Levels {
    peak: f64,
    peak_at: f64,
    full: f64,
    full_at: f64,
}

/// Measured throughputs, and how the curve bends on its way to the second of them.
#[derive(Clone, Debug, PartialEq)]
struct Points {
    /// Threads and rate, in rising order of threads. The first is one thread.
    points: Vec<(f64, f64)>,
    bend: Bend,
}

/// The curve from one thread to the second point.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bend {
    /// One thread's rate times the threads, limited by `limit` with a corner of this `sharpness`.
    Limit { limit: f64, sharpness: f64 },
    /// A cubic that leaves one thread at full speed and arrives with slope `end`.
    Cubic { end: f64 },
    /// A straight line.
    Line,
}

/// The sharpest corner: the curve is 9 % below the lines that meet there.
const SHARPEST: f64 = 7.0;

/// The sharpness of a curve whose further way is unknown.
const USUAL_SHARPNESS: f64 = 4.0;

/// What is wrong with the points of a [`Capacity`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum InvalidPoints {
    /// The first point is not that of one thread.
    NoFirst,
    /// The threads of point `index`, counted from 0, are not more than those of the point before.
    NotRising {
        /// Number of the point.
        index: usize,
    },
    /// The rate of point `index`, counted from 0, is not a number above 0.
    NoRate {
        /// Number of the point.
        index: usize,
    },
}

impl core::fmt::Display for InvalidPoints {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoFirst => f.write_str("the first point must be that of 1 thread"),
            Self::NotRising { index } => {
                write!(f, "point {} must have more threads than the point before", index + 1)
            }
            Self::NoRate { index } => write!(f, "the rate of point {} must be a number above 0", index + 1),
        }
    }
}

impl core::error::Error for InvalidPoints {}

impl Capacity {
    /// The capacity of memory that is never the limit.
    pub const IDEAL: Self = Self { curve: Curve::Ideal };

    /// Makes a capacity of `peak` for threads of `rate` each, and of `full` for `full_at` threads and
    /// more.
    ///
    /// Up to `peak`, the throughput is the sum of the threads' rates. From there it changes linearly
    /// to `full`. It rises where hardware threads of one core use each other's gaps, and falls where
    /// contention costs.
    #[must_use]
    pub fn new(rate: f64, peak: f64, full: f64, full_at: usize) -> Self {
        let (peak_at, full_at) = (peak / rate, (full_at as f64).max(peak / rate + 1.0));
        Self { curve: Curve::Levels(Levels { peak, peak_at, full, full_at }) }
    }

    /// Makes a capacity out of measured rates: threads and what they reach together, in units per
    /// second. The first point is that of one thread.
    ///
    /// Up to the second point the curve bends. With one more point, the corner is as sharp as that point
    /// tells: memory bandwidth that is used up makes a sharp corner, a shared lock or cache a round one.
    /// The formula is that of a generalised mean of the two limits; its exponent is the sharpness.
    /// Where the rate still grows much after a slow start, as on hardware threads, a cubic is used. From
    /// the second point on, lines connect the points. After the last, the rate remains.
    ///
    /// ```
    /// use ktask::sim::Capacity;
    ///
    /// let pinning = Capacity::through(&[(1, 1.0), (16, 12.7), (32, 12.9)]).unwrap();
    /// // Published rates of 8 and 24 threads are 7.5 and 13.1.
    /// assert!((pinning.of(8) / 7.5 - 1.0).abs() < 0.1);
    /// assert!((pinning.of(24) / 13.1 - 1.0).abs() < 0.1);
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidPoints`] names the point that is wrong.
    pub fn through(points: &[(usize, f64)]) -> Result<Self, InvalidPoints> {
        if points.first().is_none_or(|first| first.0 != 1) {
            return Err(InvalidPoints::NoFirst);
        }
        for (index, &(threads, rate)) in points.iter().enumerate() {
            if index > 0 && threads <= points[index - 1].0 {
                return Err(InvalidPoints::NotRising { index });
            }
            if !(rate.is_finite() && rate > 0.0) {
                return Err(InvalidPoints::NoRate { index });
            }
        }
        let points: Vec<_> = points.iter().map(|&(threads, rate)| (threads as f64, rate)).collect();
        let bend = Bend::of(&points);
        Ok(Self { curve: Curve::Points(Arc::new(Points { points, bend })) })
    }

    /// Returns the most that `threads` threads get together, in units per second.
    #[must_use]
    pub fn of(&self, threads: usize) -> f64 {
        let threads = threads as f64;
        match &self.curve {
            Curve::Ideal => f64::INFINITY,
            Curve::Levels(levels) => levels.of(threads),
            Curve::Points(points) => points.of(threads),
        }
    }
}

impl Levels {
    fn of(&self, threads: f64) -> f64 {
        if threads <= self.peak_at {
            self.peak
        } else if threads >= self.full_at {
            self.full
        } else {
            let fraction = (threads - self.peak_at) / (self.full_at - self.peak_at);
            self.peak + (self.full - self.peak) * fraction
        }
    }
}

impl Points {
    fn of(&self, threads: f64) -> f64 {
        let Some(next) = self.points.iter().position(|point| threads <= point.0) else {
            return self.points[self.points.len() - 1].1;
        };
        match next {
            0 => self.points[0].1,
            1 => self.bend.at(threads, self.points[0].1, self.points[1]),
            _ if matches!(self.bend, Bend::Cubic { .. }) => {
                line(threads, self.points[next - 1], self.points[next])
            }
            _ => {
                let (from, to) = (self.points[next - 1], self.points[next]);
                let before = slope(self.points[next - 2], from);
                let after = self.points.get(next + 1).map_or(0.0, |&next| slope(to, next));
                let own = slope(from, to);
                cubic(threads, (from, to), (between(before, own), between(own, after)))
            }
        }
    }
}

impl Bend {
    fn of(points: &[(f64, f64)]) -> Self {
        let &[(_, rate), second, ref rest @ ..] = points else { return Self::Line };
        let slowdown = |point: (f64, f64)| point.0 * rate / point.1;
        let first_slowdown = slowdown(second);
        if first_slowdown <= 1.0 {
            // More than in proportion.
            return Self::Line;
        }
        // The limit with which a corner of this sharpness passes through the second point.
        let limit_of =
            |sharpness: f64| second.0 * rate / (first_slowdown.powf(sharpness) - 1.0).powf(1.0 / sharpness);
        let Some(&third) = rest.first() else {
            return Self::Limit { limit: limit_of(USUAL_SHARPNESS), sharpness: USUAL_SHARPNESS };
        };
        // By how much the curve of a sharpness is slower at the third point than it was measured.
        let excess = |sharpness: f64| {
            let limited = third.0 * rate / limit_of(sharpness);
            (1.0 + limited.powf(sharpness)).powf(1.0 / sharpness) - slowdown(third)
        };
        if excess(1.0) > 0.0 {
            return Self::Cubic { end: between(slope((1.0, rate), second), slope(second, third)) };
        }
        let (mut low, mut high) = (1.0, SHARPEST);
        if excess(high) > 0.0 {
            for _ in 0..60 {
                let middle = (low + high) / 2.0;
                *(if excess(middle) > 0.0 { &mut high } else { &mut low }) = middle;
            }
        }
        Self::Limit { limit: limit_of(high), sharpness: high }
    }

    /// Returns the rate of `threads` threads, between one thread of `rate` and `second`.
    fn at(self, threads: f64, rate: f64, second: (f64, f64)) -> f64 {
        match self {
            Self::Line => line(threads, (1.0, rate), second),
            Self::Limit { limit, sharpness } => {
                let alone = threads * rate;
                alone / (1.0 + (alone / limit).powf(sharpness)).powf(1.0 / sharpness)
            }
            Self::Cubic { end } => {
                let from = (1.0, rate);
                cubic(threads, (from, second), (rate.min(3.0 * slope(from, second)), end))
            }
        }
    }
}

/// Returns the slope of the line through two points.
fn slope(from: (f64, f64), to: (f64, f64)) -> f64 {
    (to.1 - from.1) / (to.0 - from.0)
}

/// Returns the slope at a point between lines of slopes `before` and `after`: their harmonic mean, with
/// which cubics do not overshoot, or 0 at a peak.
fn between(before: f64, after: f64) -> f64 {
    if before * after > 0.0 { 2.0 / (1.0 / before + 1.0 / after) } else { 0.0 }
}

/// Returns the value of the cubic through two points with these slopes.
fn cubic(threads: f64, (from, to): ((f64, f64), (f64, f64)), (start, end): (f64, f64)) -> f64 {
    let width = to.0 - from.0;
    let t = (threads - from.0) / width;
    let (t2, t3) = (t * t, t * t * t);
    from.1 * (2.0 * t3 - 3.0 * t2 + 1.0)
        + width * start * (t3 - 2.0 * t2 + t)
        + to.1 * (3.0 * t2 - 2.0 * t3)
        + width * end * (t3 - t2)
}

fn line(threads: f64, from: (f64, f64), to: (f64, f64)) -> f64 {
    from.1 + (to.1 - from.1) * (threads - from.0) / (to.0 - from.0)
}
