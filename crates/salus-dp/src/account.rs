use std::collections::BTreeMap;

use salus_model::{Class, Classified, JobId, MicroRho, PrivacyCharge, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cost::{Charge, add_delta};
use crate::loss::{Delta, Epsilon, epsilon_from_rho};

/// What a dataset's account does with a release whose loss cannot be bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotBoundedPolicy {
    /// The dataset is DP-only: such a release is refused.
    Refused,
    /// Such a release is counted, after the release gate has approved it.
    Booked,
}

/// What a dataset's holder laid down when the account was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPolicy {
    /// The most that all releases together may lose.
    pub budget: MicroRho,
    /// The δ at which ρ is shown as ε, fixed for the dataset's life.
    pub delta: Delta,
    /// The most δ that thresholds over open domains may add beside it; none forbids them.
    pub threshold_delta: Option<Delta>,
    /// Files, models and tables without a bound.
    pub not_bounded: NotBoundedPolicy,
}

/// A part of the budget that a running job holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The most that the job may charge.
    pub charge: Charge,
    /// When the part returns unless the job has released.
    pub expires_at: Timestamp,
}

/// Why an account does not move. It is unchanged then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Not enough ρ left, counting what running jobs hold.
    #[error("the question costs {asked} and {left} is left; ask for less or for a coarser answer")]
    Exhausted {
        /// What was asked for.
        asked: MicroRho,
        /// What is left.
        left: MicroRho,
    },
    /// Not enough δ for thresholds left, or none was ever set apart.
    #[error("an open domain needs more δ than this dataset sets apart; list the groups instead")]
    ThresholdsExhausted,
    /// The dataset takes no release without a bound.
    #[error("this dataset releases only with differential privacy, and this release has no bound")]
    DpOnly,
    /// A job reserves once.
    #[error("job {job} has a reservation already")]
    AlreadyReserved {
        /// Which job.
        job: JobId,
    },
    /// No such reservation: never made, released, cancelled or expired.
    #[error("job {job} holds no reservation; it may have expired, and must be made again")]
    NotReserved {
        /// Which job.
        job: JobId,
    },
    /// The reservation's time is over although nobody has swept it yet.
    #[error("the reservation of job {job} has expired; it must be made again")]
    Expired {
        /// Which job.
        job: JobId,
    },
    /// A reservation that is over before it begins.
    #[error("a reservation must end after it begins")]
    EndsBeforeItBegins,
    /// The job wants to charge more than it holds.
    #[error("job {job} reserved less than it wants to charge; it must reserve the larger sum")]
    MoreThanReserved {
        /// Which job.
        job: JobId,
    },
}

impl Classified for AccountError {
    fn class(&self) -> Class {
        match self {
            Self::Exhausted { .. }
            | Self::ThresholdsExhausted
            | Self::DpOnly
            | Self::Expired { .. } => Class::Refused,
            Self::AlreadyReserved { .. }
            | Self::NotReserved { .. }
            | Self::EndsBeforeItBegins
            | Self::MoreThanReserved { .. } => Class::BadRequest,
        }
    }
}

/// A dataset's one privacy account, as plain data: what is spent, what running jobs hold.
///
/// Every method either moves the account or leaves it as it was and says why. There is no way back
/// from spent to unspent. `spent + reserved ≤ budget` holds in every state that can be reached or
/// deserialised.
///
/// # Privacy
/// All releases of the dataset, of whatever kind, compose to (spent ρ)-zCDP, and to
/// (`epsilon_spent`, δ + δ spent on thresholds)-differential privacy, beside `not_bounded_releases`
/// releases that no bound covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Account {
    policy: AccountPolicy,
    spent: MicroRho,
    thresholds_spent: Option<Delta>,
    not_bounded_releases: u64,
    reservations: BTreeMap<JobId, Reservation>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    policy: AccountPolicy,
    spent: MicroRho,
    thresholds_spent: Option<Delta>,
    not_bounded_releases: u64,
    reservations: BTreeMap<JobId, Reservation>,
}

impl From<Account> for Stored {
    fn from(a: Account) -> Self {
        Self {
            policy: a.policy,
            spent: a.spent,
            thresholds_spent: a.thresholds_spent,
            not_bounded_releases: a.not_bounded_releases,
            reservations: a.reservations,
        }
    }
}

impl TryFrom<Stored> for Account {
    type Error = &'static str;

    fn try_from(s: Stored) -> Result<Self, Self::Error> {
        let account = Self {
            policy: s.policy,
            spent: s.spent,
            thresholds_spent: s.thresholds_spent,
            not_bounded_releases: s.not_bounded_releases,
            reservations: s.reservations,
        };
        let (rho, delta) = account.committed().ok_or("the account's sums do not fit")?;
        let fits = rho <= account.policy.budget && delta <= account.policy.threshold_delta;
        let booked = account.policy.not_bounded == NotBoundedPolicy::Booked
            || (account.not_bounded_releases == 0
                && account.reservations.values().all(|r| rho_of(r.charge).is_some()));
        (fits && booked).then_some(account).ok_or("the account holds more than its policy allows")
    }
}

fn rho_of(charge: Charge) -> Option<MicroRho> {
    match charge.loss {
        PrivacyCharge::Bounded(rho) => Some(rho),
        PrivacyCharge::NotBounded => None,
    }
}

fn within(part: Charge, whole: Charge) -> bool {
    let loss = match (part.loss, whole.loss) {
        (PrivacyCharge::Bounded(part), PrivacyCharge::Bounded(whole)) => part <= whole,
        (PrivacyCharge::NotBounded, PrivacyCharge::NotBounded) => true,
        _ => false,
    };
    loss && part.threshold_delta <= whole.threshold_delta
}

impl Account {
    /// An account from which nothing has been spent.
    #[must_use]
    pub const fn open(policy: AccountPolicy) -> Self {
        Self {
            policy,
            spent: MicroRho::ZERO,
            thresholds_spent: None,
            not_bounded_releases: 0,
            reservations: BTreeMap::new(),
        }
    }

    /// What the holder laid down.
    #[must_use]
    pub const fn policy(&self) -> &AccountPolicy {
        &self.policy
    }

    /// What releases have lost.
    #[must_use]
    pub const fn spent(&self) -> MicroRho {
        self.spent
    }

    /// The δ that thresholds have added.
    #[must_use]
    pub const fn thresholds_spent(&self) -> Option<Delta> {
        self.thresholds_spent
    }

    /// Releases whose loss cannot be stated.
    #[must_use]
    pub const fn not_bounded_releases(&self) -> u64 {
        self.not_bounded_releases
    }

    /// The running jobs' parts.
    #[must_use]
    pub const fn reservations(&self) -> &BTreeMap<JobId, Reservation> {
        &self.reservations
    }

    /// What can still be charged or reserved.
    #[must_use]
    pub fn left(&self) -> MicroRho {
        self.committed()
            .and_then(|(rho, _)| self.policy.budget.checked_sub(rho))
            .unwrap_or(MicroRho::ZERO)
    }

    /// What is spent, as ε at the dataset's δ, never under-reported.
    #[must_use]
    pub fn epsilon_spent(&self) -> Epsilon {
        epsilon_from_rho(self.spent, self.policy.delta)
    }

    /// The budget as ε at the dataset's δ.
    #[must_use]
    pub fn epsilon_budget(&self) -> Epsilon {
        epsilon_from_rho(self.policy.budget, self.policy.delta)
    }

    /// Spends at once.
    ///
    /// # Errors
    /// When the budget, the δ for thresholds or the policy does not allow it.
    pub fn charge(&mut self, charge: Charge) -> Result<(), AccountError> {
        self.check_room(charge)?;
        self.spend(charge)
    }

    /// Sets a part of the budget aside for a job until `expires_at`.
    ///
    /// # Errors
    /// As [`Account::charge`]; also when the job holds a reservation or `expires_at` is not after
    /// `now`.
    pub fn reserve(
        &mut self,
        job: JobId,
        charge: Charge,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), AccountError> {
        if expires_at <= now {
            return Err(AccountError::EndsBeforeItBegins);
        }
        if self.reservations.contains_key(&job) {
            return Err(AccountError::AlreadyReserved { job });
        }
        self.check_room(charge)?;
        self.reservations.insert(job, Reservation { charge, expires_at });
        Ok(())
    }

    /// Turns a job's reservation into a charge at the moment of release; what it did not need
    /// returns.
    ///
    /// # Errors
    /// When the job holds nothing, its time is over, or it wants more than it holds.
    pub fn commit(
        &mut self,
        job: &JobId,
        charge: Charge,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        let held = self.held(job)?;
        if held.expires_at <= now {
            return Err(AccountError::Expired { job: job.clone() });
        }
        if !within(charge, held.charge) {
            return Err(AccountError::MoreThanReserved { job: job.clone() });
        }
        self.spend(charge)?;
        self.reservations.remove(job);
        Ok(())
    }

    /// Returns a job's part unspent, before any release.
    ///
    /// # Errors
    /// When the job holds nothing.
    pub fn cancel(&mut self, job: &JobId) -> Result<(), AccountError> {
        self.held(job)?;
        self.reservations.remove(job);
        Ok(())
    }

    /// Returns every part whose time is over, and names the jobs.
    pub fn expire(&mut self, now: Timestamp) -> Vec<JobId> {
        let over: Vec<JobId> = self
            .reservations
            .iter()
            .filter(|(_, held)| held.expires_at <= now)
            .map(|(job, _)| job.clone())
            .collect();
        for job in &over {
            self.reservations.remove(job);
        }
        over
    }

    fn held(&self, job: &JobId) -> Result<Reservation, AccountError> {
        self.reservations
            .get(job)
            .copied()
            .ok_or_else(|| AccountError::NotReserved { job: job.clone() })
    }

    /// Spent and reserved together; none when the sum does not fit.
    fn committed(&self) -> Option<(MicroRho, Option<Delta>)> {
        let start = (self.spent, self.thresholds_spent);
        self.reservations.values().try_fold(start, |(rho, delta), held| {
            let more = rho_of(held.charge).unwrap_or(MicroRho::ZERO);
            Some((rho.checked_add(more)?, add_delta(delta, held.charge.threshold_delta)?))
        })
    }

    fn check_room(&self, charge: Charge) -> Result<(), AccountError> {
        let asked = match charge.loss {
            PrivacyCharge::Bounded(rho) => rho,
            PrivacyCharge::NotBounded if self.policy.not_bounded == NotBoundedPolicy::Refused => {
                return Err(AccountError::DpOnly);
            }
            PrivacyCharge::NotBounded => MicroRho::ZERO,
        };
        let left = self.left();
        if asked > left {
            return Err(AccountError::Exhausted { asked, left });
        }
        let delta = self
            .committed()
            .and_then(|(_, delta)| add_delta(delta, charge.threshold_delta))
            .ok_or(AccountError::ThresholdsExhausted)?;
        if delta > self.policy.threshold_delta {
            return Err(AccountError::ThresholdsExhausted);
        }
        Ok(())
    }

    fn spend(&mut self, charge: Charge) -> Result<(), AccountError> {
        let delta = add_delta(self.thresholds_spent, charge.threshold_delta)
            .ok_or(AccountError::ThresholdsExhausted)?;
        match charge.loss {
            PrivacyCharge::Bounded(rho) => {
                let left = self.left();
                let exhausted = AccountError::Exhausted { asked: rho, left };
                self.spent = self.spent.checked_add(rho).ok_or(exhausted)?;
            }
            PrivacyCharge::NotBounded => {
                self.not_bounded_releases = self.not_bounded_releases.saturating_add(1);
            }
        }
        self.thresholds_spent = delta;
        Ok(())
    }
}
