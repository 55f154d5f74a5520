//! How many people are unique in the population, estimated from a sample.

use libm::lgamma;
use serde::Serialize;

use super::ClassSizes;

/// A super-population model for the number of population uniques.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// Pitman's sampling formula, fitted by maximum likelihood (Hoshino 2001).
    Pitman,
    /// Zayatz 1991: classes of the population look like those of the sample.
    Zayatz,
    /// Slide negative binomial (Chen and McNulty 1998).
    SlideNegativeBinomial,
    /// Dankar et al. 2012: Pitman up to a sampling fraction of a tenth, above it the smaller of
    /// Zayatz and slide negative binomial; Zayatz where the preferred one has no solution.
    Dankar,
}

/// An estimate of population uniqueness.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PopulationUnique {
    /// The estimated share of the population that is unique.
    pub share: f64,
    /// The model that gave the estimate.
    pub model: Estimator,
    /// Whether the model had a solution; without one the share is that of the sample's uniques,
    /// which is an upper bound in expectation.
    pub solved: bool,
}

impl ClassSizes {
    /// Estimates which share of a population of `population` people is unique, the table being a
    /// simple random sample of it.
    ///
    /// # Privacy
    /// An estimate under a model, not a bound. Without sample uniques it is 0; a population no
    /// larger than the sample is taken for the sample itself.
    #[must_use]
    pub fn population_unique(&self, estimator: Estimator, population: u64) -> PopulationUnique {
        let in_sample = self.of_size(1) as f64 / self.records().max(1) as f64;
        if self.of_size(1) == 0 || population <= self.records() {
            return PopulationUnique { share: in_sample, model: estimator, solved: true };
        }
        let people = population as f64;
        let solve = |model: Estimator| {
            let uniques = match model {
                Estimator::Pitman => pitman(self, people),
                Estimator::Zayatz => zayatz(self, people),
                Estimator::SlideNegativeBinomial => slide_negative_binomial(self, people),
                Estimator::Dankar => None,
            };
            uniques.map(|u| PopulationUnique {
                share: (u / people).clamp(0.0, 1.0),
                model,
                solved: true,
            })
        };
        let estimate = match estimator {
            Estimator::Dankar => {
                let fraction = self.records() as f64 / people;
                let fallback = solve(Estimator::Zayatz);
                if fraction <= 0.1 {
                    solve(Estimator::Pitman).or(fallback)
                } else {
                    match (solve(Estimator::SlideNegativeBinomial), fallback) {
                        (Some(a), Some(b)) => Some(if a.share <= b.share { a } else { b }),
                        (a, b) => a.or(b),
                    }
                }
            }
            model => solve(model),
        };
        estimate.unwrap_or(PopulationUnique { share: in_sample, model: estimator, solved: false })
    }
}

/// Maximum likelihood of Pitman's sampling formula, then E[uniques] = Γ(θ+1)/Γ(θ+α)·N^α.
///
/// # Source
/// Hoshino 2001, "Applying Pitman's sampling formula to microdata disclosure risk assessment",
/// equations 7 to 12.
fn pitman(sizes: &ClassSizes, people: f64) -> Option<f64> {
    let classes = sizes.classes() as f64;
    let n = sizes.records() as f64;
    let c1 = sizes.of_size(1) as f64;
    let c2 = (sizes.of_size(2) as f64).max(1.0);
    // Moment estimates to start from (Hoshino 2001, section 3).
    let c = c1 * (c1 - 1.0) / c2;
    let theta = (n * classes * c - c1 * (n - 1.0) * (2.0 * classes + c))
        / (2.0 * c1 * classes + c1 * c - n * c);
    let alpha = (theta * (c1 - n) + (n - 1.0) * c1) / (n * classes);
    let usable = theta.is_finite() && alpha.is_finite() && alpha > 0.0 && alpha < 1.0;
    let start = if usable && theta > -alpha { (theta, alpha) } else { (classes, 0.5) };
    let (theta, alpha) = climb_likelihood(sizes, start)?;
    let uniques = (lgamma(theta + 1.0) - lgamma(theta + alpha) + alpha * people.ln()).exp();
    (uniques.is_finite() && uniques <= people).then_some(uniques)
}

/// Log-likelihood of Pitman's formula with gradient and Hessian at (θ, α).
struct Likelihood {
    value: f64,
    gradient: [f64; 2],
    hessian: [f64; 3],
}

impl Likelihood {
    fn at(sizes: &ClassSizes, (theta, alpha): (f64, f64)) -> Self {
        let mut value = 0.0;
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for i in 1..sizes.classes() {
            let i = i as f64;
            let x = 1.0 / (theta + i * alpha);
            value -= x.ln();
            g[0] += x;
            g[1] += i * x;
            h[0] -= x * x;
            h[1] -= i * x * x;
            h[2] -= i * i * x * x;
        }
        for i in 1..sizes.records() {
            let x = 1.0 / (theta + i as f64);
            value += x.ln();
            g[0] -= x;
            h[0] += x * x;
        }
        // Σ over classes of Σ_{i<size}: walk the sizes upwards with running sums.
        let (mut next, mut log, mut inverse, mut square) = (1, 0.0, 0.0, 0.0);
        for (size, classes) in sizes.iter() {
            while next < size {
                let x = next as f64 - alpha;
                log += x.ln();
                inverse += 1.0 / x;
                square += 1.0 / (x * x);
                next += 1;
            }
            let classes = classes as f64;
            value += classes * log;
            g[1] -= classes * inverse;
            h[2] -= classes * square;
        }
        Self { value, gradient: g, hessian: h }
    }
}

/// Newton's method with step halving; none when it does not settle.
fn climb_likelihood(sizes: &ClassSizes, start: (f64, f64)) -> Option<(f64, f64)> {
    let mut at = start;
    let mut here = Likelihood::at(sizes, at);
    for _ in 0..200 {
        let [a, b, d] = here.hessian;
        let [g0, g1] = here.gradient;
        let determinant = a * d - b * b;
        // Uphill by Newton where the surface is concave, else along the scaled gradient.
        let (mut s0, mut s1) = if determinant > 0.0 && a < 0.0 {
            (-(d * g0 - b * g1) / determinant, -(a * g1 - b * g0) / determinant)
        } else {
            (g0 / a.abs().max(1e-12), g1 / d.abs().max(1e-12))
        };
        let mut moved = false;
        for _ in 0..60 {
            let to = (at.0 + s0, at.1 + s1);
            if to.1 > 0.0 && to.1 < 1.0 && to.0 > -to.1 {
                let there = Likelihood::at(sizes, to);
                if there.value >= here.value {
                    moved = (to.0 - at.0).abs() > 1e-10 * (1.0 + at.0.abs())
                        || (to.1 - at.1).abs() > 1e-12;
                    (at, here) = (to, there);
                    break;
                }
            }
            s0 /= 2.0;
            s1 /= 2.0;
        }
        if !moved {
            let settled = here.gradient[1].abs() <= 1e-4 * (1.0 + sizes.records() as f64);
            return settled.then_some(at);
        }
    }
    None
}

/// P(a class of `size` people gives exactly one record), hypergeometric.
fn one_drawn(people: f64, size: f64, records: f64) -> f64 {
    let choose = |n: f64, k: f64| lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
    if people - size < records - 1.0 {
        return 0.0;
    }
    (size.ln() + choose(people - size, records - 1.0) - choose(people, records)).exp()
}

/// # Source
/// Zayatz 1991, "Estimation of the number of unique population elements using a sample".
fn zayatz(sizes: &ClassSizes, people: f64) -> Option<f64> {
    let records = sizes.records() as f64;
    let classes = sizes.classes() as f64;
    let singles: f64 = sizes
        .iter()
        .map(|(size, number)| number as f64 / classes * one_drawn(people, size as f64, records))
        .sum();
    let unique = sizes.of_size(1) as f64 / classes * one_drawn(people, 1.0, records) / singles;
    let estimate = sizes.of_size(1) as f64 * unique * people / records;
    estimate.is_finite().then_some(estimate)
}

/// Non-empty classes of the population.
///
/// # Source
/// Haas and Stokes 1998, "Estimating the number of classes in a finite population", the modified
/// Shlosser estimator.
fn shlosser(sizes: &ClassSizes, f: f64) -> f64 {
    let (mut a, mut b, mut c, mut d) = (0.0, 0.0, 0.0, 0.0);
    for (size, number) in sizes.iter() {
        let (i, s) = (size as f64, number as f64);
        a += i * f * f * (1.0 - f * f).powf(i - 1.0) * s;
        b += (1.0 - f).powf(i) * ((1.0 + f).powf(i) - 1.0) * s;
        c += (1.0 - f).powf(i) * s;
        d += i * f * (1.0 - f).powf(i - 1.0) * s;
    }
    sizes.classes() as f64 + sizes.of_size(1) as f64 * (a / b) * (c / d) * (c / d)
}

/// Expected sample classes of size 1 and 2, over K, at (α, β).
fn slide_expectations(alpha: f64, beta: f64, f: f64) -> (f64, f64) {
    let gap = (1.0 - f) * (1.0 - beta);
    let rest = 1.0 - gap;
    let ones = f * (beta / rest).powf(alpha) * (alpha * gap / rest + 1.0);
    let twos = alpha * beta.powf(alpha) * f * f * (1.0 - beta) / (2.0 * rest.powf(alpha + 2.0))
        * (2.0 - (1.0 - alpha) * gap);
    (ones, twos)
}

/// Solves the two moment equations by damped Newton from several starts, in (ln α, logit β).
///
/// # Source
/// Chen and Keller-McNulty 1998, "Estimation of identification disclosure risk in microdata",
/// section 3.
fn slide_negative_binomial(sizes: &ClassSizes, people: f64) -> Option<f64> {
    let f = sizes.records() as f64 / people;
    let k = shlosser(sizes, f);
    let goal = ((sizes.of_size(1) as f64 / k).ln(), (sizes.of_size(2).max(1) as f64 / k).ln());
    let unfold = |(x, y): (f64, f64)| (x.exp(), 1.0 / (1.0 + (-y).exp()));
    let error = |at: (f64, f64)| {
        let (alpha, beta) = unfold(at);
        let (ones, twos) = slide_expectations(alpha, beta, f);
        (ones.ln() - goal.0, twos.ln() - goal.1)
    };
    let size = |(a, b): (f64, f64)| a.hypot(b);
    for start in [(-2.0, -2.0), (0.0, 0.0), (-4.0, -4.0), (-1.0, -5.0), (1.0, 2.0), (-3.0, 1.0)] {
        let mut at = start;
        for _ in 0..200 {
            let here = error(at);
            if size(here) < 1e-10 {
                let (alpha, beta) = unfold(at);
                return Some(k * beta.powf(alpha));
            }
            let h = 1e-6;
            let (right, up) = (error((at.0 + h, at.1)), error((at.0, at.1 + h)));
            let (a, b) = ((right.0 - here.0) / h, (up.0 - here.0) / h);
            let (c, d) = ((right.1 - here.1) / h, (up.1 - here.1) / h);
            let determinant = a * d - b * c;
            if !determinant.is_finite() || determinant.abs() < 1e-300 {
                break;
            }
            let step = (
                -(d * here.0 - b * here.1) / determinant,
                -(a * here.1 - c * here.0) / determinant,
            );
            let mut scale = 1.0;
            let mut next = at;
            while scale > 1e-9 {
                let to = (at.0 + scale * step.0, at.1 + scale * step.1);
                if size(error(to)) < size(here) {
                    next = to;
                    break;
                }
                scale /= 2.0;
            }
            if scale <= 1e-9 {
                break;
            }
            at = next;
        }
    }
    None
}
