use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

/// Draws for sampling from a fitted model; never for privacy noise.
pub(crate) struct Random(ChaCha12Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// Even over [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Even over 0 to `n` - 1; 0 for none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// A standard normal draw.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }

    /// `n` whole counts with the expected values n·weight/Σweight, each within one of it.
    pub(crate) fn rounded_counts(&mut self, weights: &[f64], n: usize) -> Vec<usize> {
        let total: f64 = weights.iter().sum();
        if total <= 0.0 || !total.is_finite() {
            let mut counts = vec![0; weights.len()];
            for _ in 0..n {
                if let Some(slot) = counts.get_mut(self.below(weights.len())) {
                    *slot += 1;
                }
            }
            return counts;
        }
        // Systematic sampling: one draw, equally spaced points along the cumulated weights.
        let step = total / n as f64;
        let mut next = self.unit() * step;
        let mut along = 0.0;
        let mut left = n;
        let mut counts = Vec::with_capacity(weights.len());
        for weight in weights {
            along += weight;
            let mut count = 0;
            while next < along && left > 0 {
                count += 1;
                left -= 1;
                next += step;
            }
            counts.push(count);
        }
        // What rounding at the far end left over goes to the last cell with weight.
        if let Some(last) = weights.iter().rposition(|w| *w > 0.0).and_then(|i| counts.get_mut(i)) {
            *last += left;
        }
        counts
    }
}
