use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::make_noisy_max;
use opendp::measures::ZeroConcentratedDivergence;
use opendp::metrics::LInfDistance;
use salus_model::{Class, Classified, MicroRho};

use crate::loss::rho_down;
use crate::outward::{div_up, sqrt_down, up};

/// Why nothing was selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// Nothing to select from.
    #[error("there is no candidate to select from")]
    NoCandidate,
    /// No loss is allowed, so nothing can be told apart.
    #[error("selecting costs more than nothing; give it a positive ρ and a positive sensitivity")]
    Nothing,
    /// The sampler failed.
    #[error("the exact sampler of the exponential mechanism failed")]
    Source(#[source] Box<opendp::error::Error>),
}

impl Classified for SelectionError {
    fn class(&self) -> Class {
        match self {
            Self::NoCandidate | Self::Nothing => Class::BadRequest,
            Self::Source(_) => Class::Unavailable,
        }
    }
}

/// The index of a high score, selected by the exponential mechanism at a loss of `rho`.
///
/// # Privacy
/// `rho`-zCDP when one unit moves each score by at most `sensitivity`, in any direction. Sampled
/// exactly; the scores are integers, so that no floating-point comparison leaks.
///
/// # Errors
/// When there is no candidate, no loss is allowed, or the generator does not answer.
///
/// # Source
/// McSherry and Talwar 2007; the zCDP loss ε²/8 is Cesar and Rogers 2021, Lemma 3.2, with the
/// range 2Δ of scores that move in either direction.
pub fn select(scores: &[i64], sensitivity: u32, rho: MicroRho) -> Result<usize, SelectionError> {
    if scores.is_empty() {
        return Err(SelectionError::NoCandidate);
    }
    if rho == MicroRho::ZERO || sensitivity == 0 {
        return Err(SelectionError::Nothing);
    }
    let scale = up(div_up(f64::from(sensitivity), sqrt_down(2.0 * rho_down(rho))));
    let failed = |e| SelectionError::Source(Box::new(e));
    let mechanism = make_noisy_max(
        VectorDomain::new(AtomDomain::<i64>::new_non_nan()),
        LInfDistance::new(false),
        ZeroConcentratedDivergence,
        scale,
        false,
    )
    .map_err(failed)?;
    mechanism.invoke(&scores.to_vec()).map_err(failed)
}
