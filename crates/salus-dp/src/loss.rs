use std::fmt;

use salus_model::{Class, Classified, MicroRho};
use serde::{Deserialize, Serialize};

use crate::outward::{
    add_up, div_up, down, from_u128_up, ln_1p_up, ln_down, mul_up, sqrt_up, tanh_up, up,
};

/// A number that is no privacy loss.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LossError {
    /// Negative, infinite or not a number.
    #[error("ε must be a finite number that is not negative, and {found} is not")]
    Epsilon {
        /// What was given.
        found: f64,
    },
    /// Not strictly between 0 and 1, or finer than 10⁻¹⁸.
    #[error("δ must lie between 1e-18 and 1, both excluded at the top, and {found} does not")]
    Delta {
        /// What was given.
        found: f64,
    },
}

impl Classified for LossError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// The ε of differential privacy: finite and not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Epsilon(f64);

impl Epsilon {
    /// ε, when the number is finite and not negative.
    ///
    /// # Errors
    /// [`LossError::Epsilon`] otherwise.
    pub fn new(epsilon: f64) -> Result<Self, LossError> {
        if epsilon.is_finite() && epsilon >= 0.0 {
            Ok(Self(epsilon))
        } else {
            Err(LossError::Epsilon { found: epsilon })
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// A computed bound, which is finite because its inputs were.
    pub(crate) fn bound(value: f64) -> Self {
        Self(if value.is_nan() { f64::MAX } else { value.clamp(0.0, f64::MAX) })
    }
}

impl TryFrom<f64> for Epsilon {
    type Error = LossError;

    fn try_from(epsilon: f64) -> Result<Self, LossError> {
        Self::new(epsilon)
    }
}

impl From<Epsilon> for f64 {
    fn from(epsilon: Epsilon) -> Self {
        epsilon.0
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ε = {:.4}", self.0)
    }
}

const ATTO: u64 = 1_000_000_000_000_000_000;

/// The δ of differential privacy, in units of 10⁻¹⁸, so that shares of it add up exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Delta(u64);

impl Delta {
    /// δ from a probability, taken to the nearest 10⁻¹⁸.
    ///
    /// # Errors
    /// [`LossError::Delta`] when it is not between 10⁻¹⁸ and 1.
    pub fn new(delta: f64) -> Result<Self, LossError> {
        let refused = LossError::Delta { found: delta };
        if !(delta > 0.0 && delta < 1.0) {
            return Err(refused);
        }
        Self::from_atto((delta * 1e18).round() as u64).ok_or(refused)
    }

    /// δ from whole units of 10⁻¹⁸; none for 0 or for 1 and above.
    #[must_use]
    pub const fn from_atto(atto: u64) -> Option<Self> {
        if atto > 0 && atto < ATTO { Some(Self(atto)) } else { None }
    }

    /// Whole units of 10⁻¹⁸.
    #[must_use]
    pub const fn atto(self) -> u64 {
        self.0
    }

    /// The probability, rounded to nearest.
    #[must_use]
    pub fn probability(self) -> f64 {
        self.0 as f64 / 1e18
    }

    /// The probability, not above the exact one.
    pub(crate) fn probability_down(self) -> f64 {
        down(self.probability())
    }
}

impl TryFrom<u64> for Delta {
    type Error = LossError;

    fn try_from(atto: u64) -> Result<Self, LossError> {
        Self::from_atto(atto).ok_or(LossError::Delta { found: atto as f64 / 1e18 })
    }
}

impl From<Delta> for u64 {
    fn from(delta: Delta) -> Self {
        delta.0
    }
}

/// ρ as a float that is not below it.
pub(crate) fn rho_up(rho: MicroRho) -> f64 {
    div_up(from_u128_up(u128::from(rho.get())), 1e6)
}

/// ρ as a float that is not above it.
pub(crate) fn rho_down(rho: MicroRho) -> f64 {
    down(down(rho.get() as f64) / 1e6).max(0.0)
}

/// The least number of millionths that is not below `rho`; none when it does not fit.
pub(crate) fn micro_up(rho: f64) -> Option<MicroRho> {
    let micro = mul_up(rho, 1e6).ceil();
    (micro.is_finite() && micro < 1.8e19).then(|| MicroRho::new(micro.max(0.0) as u64))
}

/// One value of the conversion: an upper bound on ε for every Rényi order `alpha` > 1.
fn epsilon_at(alpha: f64, rho: f64, delta_down: f64) -> f64 {
    let slope = mul_up(alpha, rho);
    let shrink = ln_1p_up(up(-1.0 / alpha));
    let tail = up(-ln_down(delta_down) - ln_down(alpha));
    let gap = alpha - 1.0;
    let tail = div_up(tail, if tail > 0.0 { down(gap) } else { up(gap) });
    add_up(add_up(slope, shrink), tail)
}

/// The ε at `delta` that a zCDP loss of `rho` implies.
///
/// # Privacy
/// Never below the exact conversion: the formula bounds ε at every order, its minimum over orders
/// is searched numerically, and every step is rounded up.
///
/// # Source
/// Canonne, Kamath, Steinke 2020, "The Discrete Gaussian for Differential Privacy", Proposition 12
/// and Corollary 13.
#[must_use]
pub fn epsilon_from_rho(rho: MicroRho, delta: Delta) -> Epsilon {
    if rho == MicroRho::ZERO {
        return Epsilon(0.0);
    }
    let rho = rho_up(rho);
    let delta = delta.probability_down();
    // Quasi-convex in the order: each sublevel set is one of the convex log δ at a fixed ε.
    let at = |t: f64| epsilon_at(1.0 + t.exp(), rho, delta);
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-20.0f64, 40.0f64);
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (at(left), at(right));
    let mut best = at_left.min(at_right);
    for _ in 0..90 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = at(left);
            best = best.min(at_left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = at(right);
            best = best.min(at_right);
        }
    }
    Epsilon::bound(best)
}

/// The largest ρ whose [`epsilon_from_rho`] at `delta` does not exceed `epsilon`.
///
/// # Privacy
/// Rounded down to whole millionths, so that a budget given as ε is never overspent.
#[must_use]
pub fn rho_from_epsilon(epsilon: Epsilon, delta: Delta) -> MicroRho {
    let fits = |micro: u64| epsilon_from_rho(MicroRho::new(micro), delta) <= epsilon;
    largest(fits)
}

/// The largest number that fits, for a property that holds up to some number and not beyond.
fn largest(fits: impl Fn(u64) -> bool) -> MicroRho {
    let mut high = 1u64;
    while fits(high) {
        match high.checked_mul(2) {
            Some(next) => high = next,
            None => return MicroRho::new(high),
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    MicroRho::new(low)
}

/// The zCDP loss that pure `epsilon`-differential privacy implies; none when it does not fit.
///
/// # Privacy
/// ρ = ε·tanh(ε/2), reached by randomised response and below Bun and Steinke's ε²/2; rounded up.
///
/// # Source
/// Bun and Steinke 2016, Proposition 3.3; sharpened by the worst case of Steinke 2024, "Sharp RDP
/// and zCDP from Pure DP", Theorem 4, in the limit of order 1.
#[must_use]
pub fn rho_from_pure_epsilon(epsilon: Epsilon) -> Option<MicroRho> {
    let sharp = mul_up(epsilon.0, tanh_up(up(epsilon.0 / 2.0)));
    micro_up(sharp)
}

/// The largest pure ε whose [`rho_from_pure_epsilon`] does not exceed `rho`, rounded down.
#[must_use]
pub fn pure_epsilon_from_rho(rho: MicroRho) -> Epsilon {
    let fits = |e: f64| rho_from_pure_epsilon(Epsilon(e)).is_some_and(|cost| cost <= rho);
    let mut high = add_up(sqrt_up(mul_up(2.0, rho_up(rho))), rho_up(rho)).max(1e-9);
    let mut low = 0.0;
    if fits(high) {
        return Epsilon(high);
    }
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Epsilon(low)
}

/// A bound z with P(N(0, 1) ≥ z) ≤ `tail`.
///
/// # Source
/// The Mills ratio bound, P(N ≥ z) < φ(z)/z for z > 0, evaluated upwards.
pub(crate) fn gaussian_tail_bound(tail: f64) -> f64 {
    let bound = |z: f64| -ln_down(tail) - mul_up(z, z) / 2.0 - z.ln() - 0.918_938_533_204_672_6;
    let (mut low, mut high) = (1.0, 60.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if up(bound(middle)) <= 0.0 {
            high = middle;
        } else {
            low = middle;
        }
    }
    up(high) * (1.0 + 1e-12)
}
