use salus_model::{Class, Classified, MicroRho};

use crate::loss::rho_down;
use crate::noise::{Noise, NoiseError};
use crate::outward::down;

/// Why counts were not measured.
#[derive(Debug, thiserror::Error)]
pub enum MarginalError {
    /// No loss allowed, or nothing that a unit could move.
    #[error("measuring costs more than nothing; give it a positive ρ and a positive sensitivity")]
    Nothing,
    /// Noise could not be drawn.
    #[error("no noise for the counts")]
    Noise(#[from] NoiseError),
}

impl Classified for MarginalError {
    fn class(&self) -> Class {
        match self {
            Self::Nothing => Class::BadRequest,
            Self::Noise(e) => e.class(),
        }
    }
}

/// Counts with their noise.
#[derive(Debug, Clone, PartialEq)]
pub struct NoisyCounts {
    /// The noisy counts, in the order given.
    pub counts: Vec<i128>,
    /// The noise of each.
    pub noise: Noise,
}

/// Adds Gaussian noise to whole numbers of which one unit moves the vector by at most `l2`.
///
/// For what has no [`crate::Query`]: the marginals of a synthesiser, the statistics of a model.
///
/// # Privacy
/// `rho`-zCDP when the L2 distance that one unit makes is at most `l2`, which the caller sees to.
///
/// # Errors
/// When ρ or the sensitivity is 0, or the private generator does not answer.
pub fn measure_counts(exact: &[i64], l2: u32, rho: MicroRho) -> Result<NoisyCounts, MarginalError> {
    if rho == MicroRho::ZERO || l2 == 0 {
        return Err(MarginalError::Nothing);
    }
    let noise = Noise::gaussian(f64::from(l2), down(rho_down(rho)))?;
    let counts = exact
        .iter()
        .map(|count| Ok(i128::from(*count).saturating_add(noise.draw()?)))
        .collect::<Result<Vec<_>, NoiseError>>()?;
    Ok(NoisyCounts { counts, noise })
}
