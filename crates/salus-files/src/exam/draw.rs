//! Draws that choose questions; no privacy depends on them.

use salus_model::Entropy;

use crate::error::FilesError;

/// SplitMix64 from a seed that nobody knows.
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(entropy: &mut dyn Entropy) -> Result<Self, FilesError> {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes).map_err(|e| FilesError::Transform(e.into()))?;
        Ok(Self(u64::from_le_bytes(bytes)))
    }

    #[cfg(test)]
    pub(super) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 for none.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    pub(super) fn one<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        items.get(self.below(items.len()))
    }

    /// That many different numbers below `n`, in a random order.
    pub(super) fn some(&mut self, n: usize, wanted: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        let wanted = wanted.min(n);
        for i in 0..wanted {
            let j = i + self.below(n - i);
            all.swap(i, j);
        }
        all.truncate(wanted);
        all
    }
}
