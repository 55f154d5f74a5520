use std::fmt;

use serde::{Deserialize, Serialize};

/// Zero-concentrated differential privacy loss, in millionths of ρ, always rounded up.
///
/// # Privacy
/// Integer, so that a sum of charges never loses a part to rounding. A conversion from ρ or ε
/// (`salus-dp`) rounds towards the larger loss.
///
/// # Source
/// Bun and Steinke 2016, "Concentrated Differential Privacy", Definition 1.1 and Lemma 1.7
/// (composition adds).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroRho(u64);

impl MicroRho {
    /// No loss.
    pub const ZERO: Self = Self(0);

    /// A loss of `micro` millionths of ρ.
    #[must_use]
    pub const fn new(micro: u64) -> Self {
        Self(micro)
    }

    /// Millionths of ρ.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum; none when it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What is left of `self` after `other`; none when `other` is larger.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }
}

impl fmt::Display for MicroRho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µρ", self.0)
    }
}

/// What a release costs a dataset's one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrivacyCharge {
    /// A bounded loss.
    Bounded(MicroRho),
    /// No bound can be stated: a k-anonymous file, an exact regression. A dataset marked DP-only
    /// refuses it.
    NotBounded,
}
