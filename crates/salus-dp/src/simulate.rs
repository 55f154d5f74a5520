use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

use crate::noise::{Mechanism, Noise};

/// Draws for intervals of derived numbers.
///
/// # Privacy
/// Post-processing of released numbers only: a fixed seed makes the interval of an answer the same
/// each time it is worked out. No released number depends on it.
pub(crate) struct Simulation(ChaCha12Rng);

pub(crate) const DRAWS: usize = 2_000;

impl Simulation {
    pub(crate) fn new() -> Self {
        Self(ChaCha12Rng::seed_from_u64(0x5a1u64))
    }

    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// A draw of the sum of noise terms, continuous where the noise is discrete.
    pub(crate) fn draw(&mut self, terms: &[Noise]) -> f64 {
        terms
            .iter()
            .map(|noise| match noise.mechanism {
                Mechanism::Gaussian => {
                    let radius = (-2.0 * self.uniform().ln()).sqrt();
                    let angle = std::f64::consts::TAU * self.uniform();
                    noise.scale.get() * radius * angle.cos()
                }
                Mechanism::Laplace => {
                    let u = self.uniform() - 0.5;
                    -noise.scale.get() * u.signum() * (1.0 - 2.0 * u.abs()).max(1e-300).ln()
                }
            })
            .sum()
    }
}

/// The values between which the middle 95 % of `draws` lie, and their standard deviation.
pub(crate) fn middle(mut draws: Vec<f64>) -> Option<(f64, f64, f64)> {
    draws.retain(|x| x.is_finite());
    draws.sort_by(f64::total_cmp);
    let n = draws.len();
    if n < DRAWS / 2 {
        return None;
    }
    let mean = draws.iter().sum::<f64>() / n as f64;
    let deviation = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
    Some((*draws.get(n / 40)?, *draws.get(n - 1 - n / 40)?, deviation))
}
