use sha2::{Digest as _, Sha256};

/// Numbers that only the seed decides (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Neighbouring seeds must not give the same numbers shifted by one, so they are hashed.
    pub(crate) fn new(name: &str, seed: u64) -> Self {
        let hash = Sha256::digest(format!("{name} {seed}"));
        Self(u64::from_be_bytes(hash[..8].try_into().unwrap()))
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
