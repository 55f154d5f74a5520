//! Times of alternating pairs.

use std::time::{Duration, Instant};

use anyhow::Result;
use cpu_time::ProcessTime;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Processor time of every thread of the process.
    pub(crate) cpu: Duration,
    /// Time on the wall.
    pub(crate) wall: Duration,
}

impl Spent {
    /// Runs the work and says what it took.
    pub(crate) fn on<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let (cpu, wall) = (ProcessTime::now(), Instant::now());
        let done = work()?;
        Ok((done, Self { cpu: cpu.elapsed(), wall: wall.elapsed() }))
    }

    /// As [`Spent::on`], for work that waits.
    pub(crate) async fn on_async<T>(work: impl Future<Output = Result<T>>) -> Result<(T, Self)> {
        let (cpu, wall) = (ProcessTime::now(), Instant::now());
        let done = work.await?;
        Ok((done, Self { cpu: cpu.elapsed(), wall: wall.elapsed() }))
    }
}

/// Pairs of runs, ours and the other's, one after the other.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pairs {
    pub(crate) ours: Vec<Duration>,
    pub(crate) other: Vec<Duration>,
}

impl Pairs {
    pub(crate) fn push(&mut self, ours: Duration, other: Duration) {
        self.ours.push(ours);
        self.other.push(other);
    }

    /// The median of the pairs' ratios, ours by the other's, with the middle half of them.
    pub(crate) fn ratio(&self) -> Quartiles {
        let ratio = |(a, b): (&Duration, &Duration)| a.as_secs_f64() / b.as_secs_f64();
        Quartiles::of(self.ours.iter().zip(&self.other).map(ratio).collect())
    }
}

/// The median in seconds.
pub(crate) fn median(times: &[Duration]) -> f64 {
    Quartiles::of(times.iter().map(Duration::as_secs_f64).collect()).median
}

/// A median and the quartiles around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quartiles {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Quartiles {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            low: quantile(&values, 0.25),
            median: quantile(&values, 0.5),
            high: quantile(&values, 0.75),
        }
    }
}

/// The quantile of sorted values, between neighbours by linear interpolation.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = at * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let (a, b) = (sorted[below], sorted[above]);
    a + (b - a) * (place - place.floor())
}
