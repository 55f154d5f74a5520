//! Uniform draws from an entropy source, buffered.

use salus_model::{Entropy, EntropyFailed};

/// Uniform draws. Not for privacy noise of continuous distributions.
pub(crate) struct Dice<'e> {
    entropy: &'e mut dyn Entropy,
    buffer: [u8; 512],
    used: usize,
}

impl<'e> Dice<'e> {
    pub(crate) fn new(entropy: &'e mut dyn Entropy) -> Self {
        Self { entropy, buffer: [0; 512], used: 512 }
    }

    pub(crate) fn bits(&mut self) -> Result<u64, EntropyFailed> {
        if self.used + 8 > self.buffer.len() {
            self.entropy.fill(&mut self.buffer)?;
            self.used = 0;
        }
        let mut word = [0; 8];
        word.copy_from_slice(&self.buffer[self.used..self.used + 8]);
        self.used += 8;
        Ok(u64::from_le_bytes(word))
    }

    /// A number below `n`, all alike likely; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> Result<usize, EntropyFailed> {
        let n = n.max(1) as u64;
        let fair = u64::MAX - (u64::MAX % n + 1) % n;
        loop {
            let drawn = self.bits()?;
            if drawn <= fair {
                return Ok((drawn % n) as usize);
            }
        }
    }

    /// `k` of the numbers below `n`, without repetition, in random order; all when `k` ≥ `n`.
    pub(crate) fn choose(&mut self, n: usize, k: usize) -> Result<Vec<usize>, EntropyFailed> {
        let mut all: Vec<usize> = (0..n).collect();
        let k = k.min(n);
        for i in 0..k {
            let j = i + self.below(n - i)?;
            all.swap(i, j);
        }
        all.truncate(k);
        Ok(all)
    }
}
