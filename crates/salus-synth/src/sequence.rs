//! Time series, such as vital signs or ECG intervals, as a private Markov model.
//!
//! Each person has one series of numbers taken at regular times. Three tables of counts are
//! measured with noise: where series begin, how values follow each other, and how long series are.
//! New series are drawn from these.
//!
//! # Privacy
//! (ρ)-zCDP for a person with the whole series. A series is cut after `longest` values. It then
//! adds 1 to one starting bin, 1 to one length, and at most `longest` − 1 to transitions; these are
//! one vector of counts each, whose L2 norms are at most 1, 1 and `longest` − 1, and ρ is divided
//! among the three. The bounds and the longest length are public; they come from the caller.
//! Not protected: that the series are regular, and what everybody's bounds imply.
//!
//! # Source
//! Chen, Acs and Castelluccia 2012, "Differentially private sequential data publication via
//! variable-length n-grams", for publishing noisy n-gram counts; we use Gaussian noise, n = 2, and
//! smooth transitions towards their neighbours, since values of the body move little at a time.

use salus_dp::{Bounds, Cost, MarginalError, measure_counts, sequential};
use salus_model::{Class, Classified, MicroRho};
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Why series were not modelled.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// Bins or lengths that make no model.
    #[error("a series is modelled with 2 to 256 bins and lengths from 2 to 10,000")]
    Shape,
    /// Too little to look at anything.
    #[error("a model of series needs a larger ρ; at least 100 µρ")]
    TooLittle,
    /// Noise could not be drawn.
    #[error("the series could not be measured")]
    Measure(#[from] MarginalError),
}

impl Classified for SequenceError {
    fn class(&self) -> Class {
        match self {
            Self::Shape | Self::TooLittle => Class::BadRequest,
            Self::Measure(e) => e.class(),
        }
    }
}

/// What is known of the series publicly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedShape")]
pub struct Shape {
    bounds: Bounds,
    bins: u16,
    longest: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedShape {
    bounds: Bounds,
    bins: u16,
    longest: u32,
}

impl TryFrom<UncheckedShape> for Shape {
    type Error = SequenceError;

    fn try_from(s: UncheckedShape) -> Result<Self, SequenceError> {
        Self::new(s.bounds, s.bins, s.longest)
    }
}

/// Lengths are told apart in so many steps.
const LENGTH_BINS: usize = 16;

impl Shape {
    /// Numbers within bounds, in bins of equal width; a person's series counts up to `longest`
    /// values.
    ///
    /// # Errors
    /// When there are too few or too many bins, or lengths make no sense.
    pub fn new(bounds: Bounds, bins: u16, longest: u32) -> Result<Self, SequenceError> {
        if !(2..=256).contains(&bins) || !(2..=10_000).contains(&longest) {
            return Err(SequenceError::Shape);
        }
        Ok(Self { bounds, bins, longest })
    }

    /// The bounds of values.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The most values of a series that count.
    #[must_use]
    pub const fn longest(&self) -> u32 {
        self.longest
    }

    fn steps(&self) -> i128 {
        i128::from(self.bounds.high()) - i128::from(self.bounds.low()) + 1
    }

    /// The bin of a number; none where it is no number.
    fn bin(&self, value: f64) -> Option<usize> {
        let along = i128::from(self.bounds.clamp(value)?) - i128::from(self.bounds.low());
        usize::try_from(along * i128::from(self.bins) / self.steps()).ok()
    }

    /// A number of a bin, drawn evenly.
    fn value(&self, bin: usize, random: &mut Random) -> f64 {
        let at = |bin: i128| {
            (bin * self.steps() + i128::from(self.bins) - 1).div_euclid(i128::from(self.bins))
        };
        let (low, next) = (at(bin as i128), at(bin as i128 + 1));
        let width = usize::try_from((next - low).max(1)).unwrap_or(1);
        let step = low + random.below(width) as i128 + i128::from(self.bounds.low());
        self.bounds.value(step.min(i128::from(self.bounds.high())))
    }

    fn length_bin(&self, length: usize) -> usize {
        (length.saturating_sub(1) * LENGTH_BINS / self.longest as usize).min(LENGTH_BINS - 1)
    }

    fn length(&self, bin: usize, random: &mut Random) -> usize {
        let longest = self.longest as usize;
        let low = (bin * longest).div_ceil(LENGTH_BINS) + 1;
        let high = ((bin + 1) * longest).div_ceil(LENGTH_BINS);
        (low + random.below(high.saturating_sub(low) + 1)).clamp(1, longest)
    }
}

/// A private model of series.
///
/// # Privacy
/// [`SequenceModel::cost`]; sampling from it costs nothing more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct SequenceModel {
    version: u8,
    shape: Shape,
    cost: Cost,
    /// A noisy count of people with a series.
    #[serde(default)]
    people: f64,
    starts: Vec<f64>,
    /// By bin, the chances of the next one.
    follows: Vec<Vec<f64>>,
    lengths: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u8,
    shape: Shape,
    cost: Cost,
    #[serde(default)]
    people: f64,
    starts: Vec<f64>,
    follows: Vec<Vec<f64>>,
    lengths: Vec<f64>,
}

impl TryFrom<Stored> for SequenceModel {
    type Error = &'static str;

    fn try_from(s: Stored) -> Result<Self, Self::Error> {
        if s.version != 1 {
            return Err("the model was stored in another version of the format");
        }
        let bins = usize::from(s.shape.bins);
        let chances = |of: &[f64], n: usize| {
            of.len() == n
                && of.iter().all(|p| p.is_finite() && *p >= 0.0)
                && of.iter().sum::<f64>() > 0.0
        };
        let whole = chances(&s.starts, bins)
            && s.follows.len() == bins
            && s.follows.iter().all(|row| chances(row, bins))
            && chances(&s.lengths, LENGTH_BINS);
        if !whole || !s.people.is_finite() {
            return Err("the model's tables do not fit its shape");
        }
        let Stored { version, shape, cost, people, starts, follows, lengths } = s;
        Ok(Self { version, shape, cost, people, starts, follows, lengths })
    }
}

/// Shares of ρ for starts, transitions and lengths.
const SHARES: [f64; 3] = [0.1, 0.8, 0.1];

impl SequenceModel {
    /// Fits a model to series, each of another person, at a loss of `rho`.
    ///
    /// # Errors
    /// When ρ is too small, or the private generator does not answer.
    pub fn fit(shape: Shape, series: &[Vec<f64>], rho: MicroRho) -> Result<Self, SequenceError> {
        if rho.get() < 100 {
            return Err(SequenceError::TooLittle);
        }
        let bins = usize::from(shape.bins);
        let (mut starts, mut lengths) = (vec![0i64; bins], vec![0i64; LENGTH_BINS]);
        let mut follows = vec![0i64; bins * bins];
        for one in series {
            let kept: Vec<usize> =
                one.iter().filter_map(|v| shape.bin(*v)).take(shape.longest as usize).collect();
            if let Some(slot) = kept.first().and_then(|first| starts.get_mut(*first)) {
                *slot += 1;
            }
            if let Some(slot) = lengths.get_mut(shape.length_bin(kept.len()))
                && !kept.is_empty()
            {
                *slot += 1;
            }
            for pair in kept.windows(2) {
                if let [from, to] = pair
                    && let Some(slot) = follows.get_mut(from * bins + to)
                {
                    *slot += 1;
                }
            }
        }
        let [a, b, c] = SHARES.map(|s| MicroRho::new((rho.get() as f64 * s) as u64));
        let noisy_starts = measure_counts(&starts, 1, a)?;
        let noisy_follows = measure_counts(&follows, shape.longest - 1, b)?;
        let noisy_lengths = measure_counts(&lengths, 1, c)?;
        let deviation = noisy_follows.noise.variance().sqrt();
        let follows: Vec<f64> = noisy_follows.counts.iter().map(|n| *n as f64).collect();
        let cost = sequential([a, b, c].map(Cost::of_rho)).unwrap_or(Cost::of_rho(rho));
        Ok(Self {
            version: 1,
            shape,
            cost,
            people: noisy_starts.counts.iter().map(|n| *n as f64).sum(),
            starts: chances(noisy_starts.counts.iter().map(|n| *n as f64)),
            follows: follows
                .chunks(bins)
                .enumerate()
                .map(|(i, row)| row_of(row, i, deviation))
                .collect(),
            lengths: chances(noisy_lengths.counts.iter().map(|n| *n as f64)),
        })
    }

    /// What fitting must be charged.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    /// A noisy count of the people whom the model was fitted to.
    #[must_use]
    pub const fn people(&self) -> f64 {
        self.people
    }

    /// What is known of the series publicly.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// New series. The seed drives sampling and nothing else.
    #[must_use]
    pub fn sample(&self, people: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut random = Random::new(seed);
        let mut one = || {
            let length = self.shape.length(pick(&self.lengths, &mut random), &mut random);
            let mut bin = pick(&self.starts, &mut random);
            let mut series = Vec::with_capacity(length);
            for _ in 0..length {
                series.push(self.shape.value(bin, &mut random));
                bin = self.follows.get(bin).map_or(bin, |row| pick(row, &mut random));
            }
            series
        };
        (0..people).map(|_| one()).collect()
    }
}

/// Chances from noisy counts: none below 0, and where nothing is left, all alike.
fn chances(noisy: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<f64> = noisy.map(|n| n.max(0.0)).collect();
    let sum: f64 = all.iter().sum();
    let even = 1.0 / all.len().max(1) as f64;
    all.iter_mut().for_each(|p| *p = if sum > 0.0 { *p / sum } else { even });
    all
}

/// What follows a bin: counts that stand out of the noise, and where none does, the bin itself and
/// its neighbours.
fn row_of(row: &[f64], own: usize, deviation: f64) -> Vec<f64> {
    // Of n cells of nothing but noise the largest is about this many deviations high.
    let threshold = deviation * (2.0 * (row.len() as f64).ln()).sqrt();
    let clear: Vec<f64> = row.iter().map(|n| if *n > threshold { *n } else { 0.0 }).collect();
    if clear.iter().sum::<f64>() > 0.0 {
        return chances(clear.into_iter());
    }
    chances((0..row.len()).map(|i| match i.abs_diff(own) {
        0 => 2.0,
        1 => 1.0,
        _ => 0.0,
    }))
}

fn pick(chances: &[f64], random: &mut Random) -> usize {
    let total: f64 = chances.iter().sum();
    let mut at = random.unit() * total;
    for (i, chance) in chances.iter().enumerate() {
        if at < *chance {
            return i;
        }
        at -= chance;
    }
    chances.iter().rposition(|p| *p > 0.0).unwrap_or(0)
}
