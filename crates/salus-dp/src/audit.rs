//! Lower bounds on a mechanism's privacy loss, measured from its outputs on neighbouring datasets.
//!
//! # Source
//! Jagielski, Ullman, Oprea 2020 (Clopper-Pearson bounds on an event's two probabilities); the
//! event is chosen on one half of the runs and judged on the other. That a bound on ρ follows from
//! one event is the data-processing inequality for Rényi divergences.

use statrs::function::beta::beta_reg;

/// An event that two neighbouring datasets give different chances, and what follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// The lower bound on the loss.
    pub at_least: f64,
    /// The event: outputs at or above (`true`) or below (`false`) this number.
    pub event: (f64, bool),
    /// How often it was seen, on the dataset where it is likelier and on the other, out of half of
    /// the runs.
    pub seen: (usize, usize),
}

/// What was measured, and with what certainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Audit {
    /// Runs on each of the two datasets.
    pub runs: usize,
    /// The chance that either bound exceeds the true loss.
    pub alpha: f64,
    /// A lower bound on ρ.
    pub rho: Finding,
    /// A lower bound on ε at the given δ.
    pub epsilon: Finding,
}

/// Two-sided bounds on a probability from `hits` of `runs`, each missed with chance `alpha`/2.
///
/// # Source
/// Clopper and Pearson 1934.
#[must_use]
pub fn clopper_pearson(hits: usize, runs: usize, alpha: f64) -> (f64, f64) {
    let (k, n) = (hits.min(runs) as f64, runs as f64);
    let quantile = |a: f64, b: f64, p: f64| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if beta_reg(a, b, middle) < p {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low, high)
    };
    let lower = if hits == 0 { 0.0 } else { quantile(k, n - k + 1.0, alpha / 2.0).0 };
    let upper = if hits >= runs { 1.0 } else { quantile(k + 1.0, n - k, 1.0 - alpha / 2.0).1 };
    (lower, upper)
}

/// About the interval of [`clopper_pearson`] at one in 10,000, fast: good enough to choose by.
fn wilson(hits: usize, runs: usize) -> (f64, f64) {
    let (n, z2) = (runs.max(1) as f64, 15.1);
    let share = hits as f64 / n;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = (z2 * (share * (1.0 - share) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// The largest ρ that an event with probability at least `p` here and at most `q` there proves.
#[must_use]
pub fn rho_of_event(p: f64, q: f64) -> f64 {
    if p <= q || p <= 0.0 {
        return 0.0;
    }
    let q = q.max(1e-300);
    let (p, q) = (p.min(1.0), q.min(1.0));
    let divergence = |order: f64| {
        let hit = order * p.ln() + (1.0 - order) * q.ln();
        let miss = order * (1.0 - p).max(1e-300).ln() + (1.0 - order) * (1.0 - q).max(1e-300).ln();
        let top = hit.max(miss);
        (top + ((hit - top).exp() + (miss - top).exp()).ln()) / (order - 1.0)
    };
    // Orders 1 + 10^-4 to 1 + 10^2.5.
    (0..66)
        .map(|i| 1.0 + 10f64.powf(f64::from(i) / 10.0 - 4.0))
        .map(|order| divergence(order) / order)
        .fold(0.0, f64::max)
}

/// Bounds on ρ and ε, and how often the event was seen.
type Judged = (f64, f64, (usize, usize));

/// Runs a mechanism on two neighbouring datasets and bounds its loss from below.
///
/// `first` and `second` each run it once and give one number of the output; an output that is
/// absent is `f64::NEG_INFINITY`. `delta` is what the mechanism may add to every probability.
pub fn audit(
    runs: usize,
    alpha: f64,
    delta: f64,
    mut first: impl FnMut() -> f64,
    mut second: impl FnMut() -> f64,
) -> Audit {
    let half = runs / 2;
    let sample = |run: &mut dyn FnMut() -> f64, n: usize| (0..n).map(|_| run()).collect::<Vec<_>>();
    let (train_a, train_b) = (sample(&mut first, half), sample(&mut second, half));
    let (test_a, test_b) = (sample(&mut first, runs - half), sample(&mut second, runs - half));
    // Two bounds, each from two probabilities.
    let each = alpha / 2.0;
    let count = |a: &[f64], b: &[f64], event: (f64, bool)| {
        let hits = |xs: &[f64]| xs.iter().filter(|x| (**x >= event.0) == event.1).count();
        let (a, b) = (hits(a), hits(b));
        (a.max(b), a.min(b))
    };
    let weigh = |(p, q): (f64, f64), seen: (usize, usize)| -> Judged {
        let p = (p - delta).max(0.0);
        let epsilon = if p > q { (p / q).ln() } else { 0.0 };
        (rho_of_event(p, q), epsilon, seen)
    };
    let mut candidates: Vec<f64> = train_a.iter().chain(&train_b).copied().collect();
    candidates.sort_by(f64::total_cmp);
    candidates.dedup_by(|a, b| a.total_cmp(b).is_eq());
    let step = (candidates.len() / 60).max(1);
    let trained: Vec<_> = candidates
        .into_iter()
        .step_by(step)
        .flat_map(|at| [(at, true), (at, false)])
        .map(|event| (event, count(&train_a, &train_b, event)))
        .map(|(event, seen)| {
            let (p, q) = (wilson(seen.0, train_a.len()).0, wilson(seen.1, train_b.len()).1);
            (event, weigh((p, q), seen))
        })
        .collect();
    let best = |by: fn(&Judged) -> f64| {
        let event = trained
            .iter()
            .max_by(|a, b| by(&a.1).total_cmp(&by(&b.1)))
            .map_or((0.0, true), |(event, _)| *event);
        let seen = count(&test_a, &test_b, event);
        let p = clopper_pearson(seen.0, test_a.len(), each).0;
        let q = clopper_pearson(seen.1, test_b.len(), each).1;
        let judged = weigh((p, q), seen);
        Finding { at_least: by(&judged), event, seen: judged.2 }
    };
    Audit { runs, alpha, rho: best(|j| j.0), epsilon: best(|j| j.1) }
}
