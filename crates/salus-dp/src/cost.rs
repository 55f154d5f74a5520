use salus_model::{MicroRho, PrivacyCharge};
use serde::{Deserialize, Serialize};

use crate::loss::Delta;

/// What a release with a bounded loss costs: ρ, and the δ that a threshold over an open domain adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// The zCDP loss.
    pub rho: MicroRho,
    /// The chance of showing a group that one unit alone made; none over public domains.
    pub threshold_delta: Option<Delta>,
}

impl Cost {
    /// A cost without any δ of its own.
    #[must_use]
    pub const fn of_rho(rho: MicroRho) -> Self {
        Self { rho, threshold_delta: None }
    }
}

/// What a release takes from an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The loss, or that none can be stated.
    pub loss: PrivacyCharge,
    /// δ that the release itself adds, beside the one at which ρ is shown as ε.
    pub threshold_delta: Option<Delta>,
}

impl From<Cost> for Charge {
    fn from(cost: Cost) -> Self {
        Self { loss: PrivacyCharge::Bounded(cost.rho), threshold_delta: cost.threshold_delta }
    }
}

/// The sum of two shares of δ; none when it reaches 1.
pub(crate) fn add_delta(a: Option<Delta>, b: Option<Delta>) -> Option<Option<Delta>> {
    match (a, b) {
        (None, other) | (other, None) => Some(other),
        (Some(a), Some(b)) => Delta::from_atto(a.atto().checked_add(b.atto())?).map(Some),
    }
}

/// The cost of several releases over the same units: losses add up. None when the sum does not fit.
///
/// # Source
/// Bun and Steinke 2016, Lemma 1.7; for the δ of approximate zCDP, Lemma 8.2.
#[must_use]
pub fn sequential(costs: impl IntoIterator<Item = Cost>) -> Option<Cost> {
    costs.into_iter().try_fold(Cost::of_rho(MicroRho::ZERO), |sum, cost| {
        Some(Cost {
            rho: sum.rho.checked_add(cost.rho)?,
            threshold_delta: add_delta(sum.threshold_delta, cost.threshold_delta)?,
        })
    })
}

/// The cost of several releases, each over its own part of the units: the largest counts.
///
/// # Privacy
/// Holds only when every unit has all of its rows in one part. Devices of different hospitals are
/// such parts; patients are not when a patient may be known to two hospitals.
#[must_use]
pub fn parallel(costs: impl IntoIterator<Item = Cost>) -> Cost {
    costs.into_iter().fold(Cost::of_rho(MicroRho::ZERO), |largest, cost| Cost {
        rho: largest.rho.max(cost.rho),
        threshold_delta: largest.threshold_delta.max(cost.threshold_delta),
    })
}
