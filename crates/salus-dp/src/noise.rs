use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;
use opendp::traits::samplers::{sample_discrete_gaussian, sample_discrete_laplace};
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use crate::outward::{div_up, ln_up, sqrt_down, up};

/// Which exact discrete noise protects an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// The discrete Gaussian: zCDP, the smaller error for a given charge.
    Gaussian,
    /// The discrete Laplace: pure differential privacy, for permits that ask for δ = 0.
    Laplace,
}

/// Why no noise was drawn.
#[derive(Debug, thiserror::Error)]
pub enum NoiseError {
    /// A scale that no sampler can use.
    #[error("a noise scale must be a positive finite number below 2^120, and {found} is not")]
    Scale {
        /// What was given.
        found: f64,
    },
    /// OpenSSL gave no random bytes.
    #[error("the private generator of randomness did not answer")]
    Source(#[source] Box<opendp::error::Error>),
    /// More than 127 bits of noise, which happens with probability below 2⁻⁵⁰⁰.
    #[error("a noise value does not fit 127 bits")]
    TooLarge,
}

impl Classified for NoiseError {
    fn class(&self) -> Class {
        match self {
            Self::Scale { .. } => Class::BadRequest,
            Self::Source(_) => Class::Unavailable,
            Self::TooLarge => Class::Bug,
        }
    }
}

/// Bits of a scale's mantissa: few keep the exact samplers' numbers within two machine words, and
/// cost at most one part in 2,048 of error.
const MANTISSA_BITS: i32 = 12;

/// A noise scale (σ of a Gaussian, b of a Laplace), a short binary fraction not below what was
/// asked for.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Scale {
    value: f64,
}

impl Scale {
    /// The least usable scale that is not below `at_least`.
    ///
    /// # Errors
    /// [`NoiseError::Scale`] when it is not positive or reaches 2¹²⁰.
    pub fn at_least(at_least: f64) -> Result<Self, NoiseError> {
        let refused = NoiseError::Scale { found: at_least };
        if !(at_least.is_finite() && at_least > 0.0 && at_least < 2f64.powi(120)) {
            return Err(refused);
        }
        // Smaller scales give the same noise, none, with probability 1 - 10⁻¹⁰⁰⁰⁰.
        let wanted = at_least.max(2f64.powi(-8));
        let step = 2f64.powi(exponent(wanted) - MANTISSA_BITS + 1);
        Ok(Self { value: (wanted / step).ceil() * step })
    }

    /// The scale.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.value
    }

    fn rational(self) -> RBig {
        let shift = MANTISSA_BITS - 1 - exponent(self.value);
        let mantissa = (self.value * 2f64.powi(shift)) as u64;
        let one = UBig::ONE;
        if shift >= 0 {
            RBig::from_parts(IBig::from(mantissa), one << shift.unsigned_abs() as usize)
        } else {
            RBig::from_parts(IBig::from(mantissa) << shift.unsigned_abs() as usize, one)
        }
    }
}

/// The binary exponent of a positive normal number.
fn exponent(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

impl TryFrom<f64> for Scale {
    type Error = NoiseError;

    fn try_from(value: f64) -> Result<Self, NoiseError> {
        Self::at_least(value)
    }
}

impl From<Scale> for f64 {
    fn from(scale: Scale) -> Self {
        scale.value
    }
}

/// A distribution of integer noise around 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Gaussian or Laplace.
    pub mechanism: Mechanism,
    /// σ or b.
    pub scale: Scale,
}

impl Noise {
    /// Draws one value from the private generator.
    ///
    /// # Errors
    /// When the generator does not answer.
    ///
    /// # Cost
    /// Some microseconds; the time varies with the value drawn, not with the data.
    ///
    /// # Source
    /// Canonne, Kamath, Steinke 2020, Algorithms 1 to 3, as implemented by `opendp`.
    pub fn draw(self) -> Result<i128, NoiseError> {
        self.source().draw()
    }

    /// The same distribution, made ready for many draws.
    pub(crate) fn source(self) -> NoiseSource {
        NoiseSource { mechanism: self.mechanism, scale: self.scale.rational() }
    }

    /// The variance, in closed form: σ² bounds the discrete Gaussian's, and the discrete Laplace
    /// has 2q/(1 - q)² with q = e^(-1/b).
    #[must_use]
    pub fn variance(self) -> f64 {
        let s = self.scale.get();
        match self.mechanism {
            Mechanism::Gaussian => gaussian_variance(s),
            Mechanism::Laplace => {
                let half = (0.5 / s).sinh();
                0.5 / (half * half)
            }
        }
    }

    /// The least whole t known to satisfy P(|noise| > t) ≤ `miss`.
    ///
    /// # Source
    /// Gaussian: Canonne, Kamath, Steinke 2020, Proposition 25, P(N_Z ≥ t + 1) ≤ P(N ≥ t).
    /// Laplace: P(|X| > t) = 2e^(-t/b)/(e^(1/b) + 1) ≤ e^(-t/b).
    #[must_use]
    pub fn half_width(self, miss: f64) -> f64 {
        let s = self.scale.get();
        match self.mechanism {
            Mechanism::Gaussian => (s * normal_quantile(1.0 - miss / 2.0)).ceil(),
            Mechanism::Laplace => (s * ln_up(1.0 / miss)).ceil(),
        }
    }

    /// Gaussian noise that gives `rho`-zCDP at L2 sensitivity `l2`; the scale is rounded up.
    ///
    /// # Errors
    /// [`NoiseError::Scale`] when ρ is 0 or the scale does not fit.
    ///
    /// # Source
    /// Canonne, Kamath, Steinke 2020, Theorem 4: ρ = Δ²/(2σ²).
    pub(crate) fn gaussian(l2: f64, rho: f64) -> Result<Self, NoiseError> {
        let scale = Scale::at_least(div_up(l2, sqrt_down(2.0 * rho)))?;
        Ok(Self { mechanism: Mechanism::Gaussian, scale })
    }

    /// Laplace noise that gives pure `epsilon`-differential privacy at L1 sensitivity `l1`.
    ///
    /// # Errors
    /// [`NoiseError::Scale`] when ε is 0 or the scale does not fit.
    ///
    /// # Source
    /// Ghosh, Roughgarden, Sundararajan 2012; b = Δ/ε.
    pub(crate) fn laplace(l1: f64, epsilon: f64) -> Result<Self, NoiseError> {
        let scale = Scale::at_least(up(div_up(l1, epsilon)))?;
        Ok(Self { mechanism: Mechanism::Laplace, scale })
    }
}

/// A distribution whose scale is an exact fraction already.
pub(crate) struct NoiseSource {
    mechanism: Mechanism,
    scale: RBig,
}

impl NoiseSource {
    /// As [`Noise::draw`]; every draw is independent of the others.
    pub(crate) fn draw(&self) -> Result<i128, NoiseError> {
        let value = match self.mechanism {
            Mechanism::Gaussian => sample_discrete_gaussian(self.scale.clone()),
            Mechanism::Laplace => sample_discrete_laplace(self.scale.clone()),
        };
        let value = value.map_err(|e| NoiseError::Source(Box::new(e)))?;
        i128::try_from(&value).map_err(|_| NoiseError::TooLarge)
    }
}

/// The discrete Gaussian's variance: σ² when σ is not small, else summed.
fn gaussian_variance(sigma: f64) -> f64 {
    if sigma > 3.0 {
        return sigma * sigma;
    }
    let weight = |x: f64| (-x * x / (2.0 * sigma * sigma)).exp();
    let (top, all) = (1..=60)
        .map(f64::from)
        .fold((0.0, 1.0), |(top, all), x| (top + 2.0 * x * x * weight(x), all + 2.0 * weight(x)));
    top / all
}

/// The standard normal's quantile, by bisection of the complementary error function.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..120 {
        let middle = f64::midpoint(low, high);
        let below = 0.5 * statrs::function::erf::erfc(-middle / std::f64::consts::SQRT_2);
        if below < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
