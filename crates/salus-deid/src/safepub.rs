//! SafePub: generalisation that is differentially private.

use salus_model::{Class, Classified, Entropy, EntropyFailed};

use crate::engine::Engine;
use crate::problem::{Problem, ProblemError};
use crate::quasi::Levels;
use crate::search::with_words;

/// Why a private generalisation was not made.
#[derive(Debug, thiserror::Error)]
pub enum SafePubError {
    /// The problem itself is wrong.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// A parameter gives no guarantee.
    #[error("{0}")]
    Parameter(&'static str),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
}

impl Classified for SafePubError {
    fn class(&self) -> Class {
        match self {
            Self::Problem(inner) => inner.class(),
            Self::Parameter(_) => Class::BadRequest,
            Self::Entropy(_) => Class::Unavailable,
        }
    }
}

/// A privacy loss (ε, δ), split into the part of the release and that of the search.
///
/// # Privacy
/// Sampling each record with probability β = 1 − e^(−ε_release), generalising by a scheme that was
/// chosen without looking at the sample, and suppressing classes of fewer than k records is
/// (ε_release, δ)-differentially private for tables that differ by one record added or removed.
/// The scheme is chosen by the exponential mechanism with ε_search in all; sequential composition
/// gives (ε_release + ε_search, δ). The hierarchies and the choice of columns must not come from
/// the data.
///
/// # Source
/// Bild, Kuhn and Prasser 2018, "SafePub", sections 4.1 to 4.3 and theorem 2; Li, Qardaji and Su
/// 2012, "On sampling, anonymization, and differential privacy", theorem 1. We score schemes on
/// the whole table and draw the sample afterwards, so that the two steps share no randomness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SafePub {
    release: f64,
    search: f64,
    delta: f64,
    beta: f64,
    k: u64,
    steps: u32,
}

/// More than this and the smallest class would exceed any table.
const LARGEST_K: u64 = 100_000;

/// Candidate scores further below the best than this, in units of the exponent, count as this far.
const FLOOR: f64 = 50.0;

impl SafePub {
    /// Splits the loss and computes the sampling share and the smallest class.
    ///
    /// # Errors
    /// When a part of ε is not above 0, δ does not lie between 0 and 1, or no k reaches δ.
    pub fn new(release: f64, search: f64, delta: f64, steps: u32) -> Result<Self, SafePubError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(release) || !positive(search) {
            return Err(SafePubError::Parameter("both parts of ε must be above 0"));
        }
        if !(delta > 0.0 && delta < 1.0) {
            return Err(SafePubError::Parameter("δ must lie between 0 and 1"));
        }
        if !(1..=1_000).contains(&steps) {
            return Err(SafePubError::Parameter("the search takes between 1 and 1,000 steps"));
        }
        let beta = 1.0 - (-release).exp();
        let k = smallest_class(release, beta, delta)
            .ok_or(SafePubError::Parameter("no class size reaches so small a δ"))?;
        Ok(Self { release, search, delta, beta, k, steps })
    }

    /// The whole ε.
    #[must_use]
    pub fn epsilon(&self) -> f64 {
        self.release + self.search
    }

    /// δ.
    #[must_use]
    pub const fn delta(&self) -> f64 {
        self.delta
    }

    /// The chance of each record to be sampled.
    #[must_use]
    pub const fn sampling(&self) -> f64 {
        self.beta
    }

    /// Classes of fewer sampled records are suppressed.
    #[must_use]
    pub const fn smallest_class(&self) -> u64 {
        self.k
    }

    /// Chooses a scheme, draws the sample and says which records are published.
    ///
    /// The models and the suppression limit of `problem` play no part; its table, columns and
    /// hierarchies do.
    ///
    /// # Privacy
    /// The guarantee of [`SafePub`] covers the levels and the *generalised* records together. Row
    /// numbers serve to write the release and must not be published, nor must columns outside the
    /// quasi-identifiers, nor the order of the records.
    ///
    /// # Errors
    /// When the randomness fails or the keys are too wide.
    pub fn publish(
        &self,
        problem: &Problem<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<PrivateRelease, SafePubError> {
        fn run<const W: usize>(
            plan: &SafePub,
            problem: &Problem<'_>,
            entropy: &mut dyn Entropy,
        ) -> Result<PrivateRelease, SafePubError> {
            let mut engine = Engine::<W>::new(problem);
            let levels = plan.choose(&mut engine, entropy)?;
            let published = plan.sample(&mut engine, &levels, entropy)?;
            Ok(PrivateRelease { levels: Levels::new(engine.outward(&levels)), published })
        }
        with_words!(problem, run(self, problem, entropy))
    }

    /// From the top down: each step follows one of the schemes seen, drawn by its score; the last
    /// draw is among all of them.
    fn choose<const W: usize>(
        &self,
        engine: &mut Engine<'_, W>,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, SafePubError> {
        let top: Vec<u8> = (0..engine.width()).map(|c| engine.ladder(c).top()).collect();
        let share = self.search / f64::from(self.steps + 1);
        let mut seen = vec![(top.clone(), self.score(engine, &top))];
        let mut open = vec![0usize];
        for _ in 0..self.steps {
            if open.is_empty() {
                break;
            }
            let scores: Vec<f64> = open.iter().map(|&i| seen[i].1).collect();
            let pivot = open.swap_remove(exponential(&scores, share, entropy)?);
            for column in 0..engine.width() {
                let mut levels = seen[pivot].0.clone();
                if levels[column] == 0 {
                    continue;
                }
                levels[column] -= 1;
                if seen.iter().all(|(known, _)| *known != levels) {
                    let score = self.score(engine, &levels);
                    open.push(seen.len());
                    seen.push((levels, score));
                }
            }
        }
        let scores: Vec<f64> = seen.iter().map(|(_, score)| *score).collect();
        let chosen = exponential(&scores, share, entropy)?;
        Ok(seen.swap_remove(chosen).0)
    }

    /// Minus the loss summed over records, scaled to sensitivity 1: classes too small to be
    /// expected to survive sampling cost 1 a record. One record more or less moves the sum most
    /// where it lifts a class over the threshold.
    fn score<const W: usize>(&self, engine: &mut Engine<'_, W>, levels: &[u8]) -> f64 {
        let threshold = (self.k as f64 / self.beta).ceil().max(2.0) as u64;
        let groups = engine.groups_at(levels);
        let mut cost = 0.0;
        for (key, &count) in groups.keys.iter().zip(&groups.counts) {
            let count = u64::from(count);
            cost += count as f64
                * if count >= threshold { engine.mean_share(key, levels) } else { 1.0 };
        }
        -cost / (threshold - 1) as f64
    }

    fn sample<const W: usize>(
        &self,
        engine: &mut Engine<'_, W>,
        levels: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u32>, SafePubError> {
        // Rounded down, so that the sampling share is never above what the proof uses.
        let below = (self.beta * 2f64.powi(53)).floor() as u64;
        let mut drawn = Vec::new();
        for row in 0..engine.problem.table.rows() as u32 {
            if random_bits(entropy)? >> 11 < below {
                drawn.push(row);
            }
        }
        let mut sizes: hashbrown::HashMap<[u64; W], u64> = hashbrown::HashMap::new();
        for &row in &drawn {
            *sizes.entry(engine.key_of_row(row as usize, levels)).or_insert(0) += 1;
        }
        drawn.retain(|&row| sizes[&engine.key_of_row(row as usize, levels)] >= self.k);
        Ok(drawn)
    }
}

/// A differentially private generalisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateRelease {
    /// The scheme, a level per quasi-identifier.
    pub levels: Levels,
    /// Rows of the input that are published, generalised to those levels.
    pub published: Vec<u32>,
}

/// The smallest k whose δ is small enough.
fn smallest_class(epsilon: f64, beta: f64, delta: f64) -> Option<u64> {
    // δ falls with k, up to the steps of the binomial; doubling finds the range, halving the k.
    let mut high = 1;
    while delta_of(high, epsilon, beta) > delta {
        high *= 2;
        if high > LARGEST_K {
            return None;
        }
    }
    let low = high / 2;
    (low.max(1)..=high).find(|&k| delta_of(k, epsilon, beta) <= delta)
}

/// δ(k) = max over n ≥ k/γ − 1 of P(Binomial(n, β) > γ·n), with γ = (e^ε − 1 + β)/e^ε.
///
/// The maximum is over infinitely many n; Chernoff's bound e^(−n·D(γ‖β)) falls with n, so the
/// search ends where it drops below the largest value found.
///
/// # Source
/// Li, Qardaji and Su 2012, theorem 1; Bild et al. 2018, appendix A.
fn delta_of(k: u64, epsilon: f64, beta: f64) -> f64 {
    let gamma = (epsilon.exp() - 1.0 + beta) / epsilon.exp();
    let mut n = ((k as f64 / gamma - 1.0).ceil() as u64).max(1);
    let divergence = gamma * (gamma / beta).ln() - (gamma - beta);
    let mut largest = 0.0f64;
    loop {
        largest = largest.max(upper_tail(n, beta, (n as f64 * gamma).floor() as u64));
        n += 1;
        if largest >= (-(n as f64) * divergence).exp() {
            return largest;
        }
    }
}

/// P(Binomial(n, p) > x).
fn upper_tail(n: u64, p: f64, x: u64) -> f64 {
    let ln = |a: u64| libm::lgamma(a as f64 + 1.0);
    ((x + 1)..=n)
        .map(|j| {
            let choose = ln(n) - ln(j) - ln(n - j);
            (choose + j as f64 * p.ln() + (n - j) as f64 * (-p).ln_1p()).exp()
        })
        .sum()
}

/// Draws an index with probability proportional to e^(ε·score/2), for scores of sensitivity 1.
///
/// Scores far below the best are lifted to a floor, which keeps their sensitivity; weights are
/// integers, drawn from without rounding. The rounding of the weights themselves adds less than
/// 1e-11 to ε.
///
/// # Source
/// McSherry and Talwar 2007, "Mechanism design via differential privacy", theorem 6.
fn exponential(
    scores: &[f64],
    epsilon: f64,
    entropy: &mut dyn Entropy,
) -> Result<usize, SafePubError> {
    if scores.len() >= 1 << 15 {
        return Err(SafePubError::Parameter("too many schemes to draw from; take fewer steps"));
    }
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<u128> = scores
        .iter()
        .map(|score| {
            let exponent = (epsilon * (score - best) / 2.0).max(-FLOOR);
            (exponent.exp() * 2f64.powi(112)) as u128
        })
        .collect();
    let total: u128 = weights.iter().sum();
    let fair = u128::MAX - (u128::MAX % total + 1) % total;
    let mut point = loop {
        let high = u128::from(random_bits(entropy)?);
        let drawn = (high << 64) | u128::from(random_bits(entropy)?);
        if drawn <= fair {
            break drawn % total;
        }
    };
    for (i, &weight) in weights.iter().enumerate() {
        if point < weight {
            return Ok(i);
        }
        point -= weight;
    }
    Ok(scores.len() - 1)
}

fn random_bits(entropy: &mut dyn Entropy) -> Result<u64, EntropyFailed> {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests;
