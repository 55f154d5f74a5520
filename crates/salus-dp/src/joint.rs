//! Several holders answer as if their rows were one dataset: noise in shares, sums in secret shares.
//!
//! Each holder adds a share of the noise to its exact sums and splits the result into additive
//! shares over Z₂¹²⁸ for two parties or more. A party adds up what it got from all holders; only
//! the parties' sums together give the noisy total, and nothing else can be read from them.
//!
//! # Privacy
//! For each unit, the total is ρ-zCDP against everybody who does not hold all parties' shares, as
//! long as at most `dishonest` holders leave out their noise, drop out after sharing, or tell their
//! share of it. Semi-honest holders and parties: a holder can falsify its own sum, within
//! [`JointPlan::open`]'s public range.
//!
//! # Source
//! Sums of discrete Gaussians: Kairouz, Liu, Steinke 2021, "The Distributed Discrete Gaussian
//! Mechanism for Federated Learning with Secure Aggregation", Theorem 1. The ring has 128 bits
//! because second moments in exact fixed point do not fit 64.

use std::sync::Arc;

use salus_model::{Class, Classified, Entropy, EntropyFailed};
use serde::{Deserialize, Serialize};

use crate::cost::Cost;
use crate::noise::{Mechanism, Noise, NoiseError, NoiseSource, Scale};
use crate::noised::{Noised, Values};
use crate::outward::{add_up, div_up, exp_up, from_u128_up, mul_up, sqrt_down, sqrt_up};
use crate::partial::{Exact, Partial};
use crate::plan::{Block, Plan, Shape};

/// Why joint mode does not answer.
#[derive(Debug, thiserror::Error)]
pub enum JointError {
    /// Too few to be joint, or nobody honest.
    #[error("joint mode needs two holders or more, of which at least one adds its noise")]
    Holders,
    /// Fewer than two parties would see the numbers in the clear.
    #[error("shares go to at least two parties that do not collude, and at most 255")]
    Parties,
    /// Sets cannot be added up in shares.
    #[error("distinct counts and open groups are answered in independent mode only")]
    NotJoint,
    /// Only Gaussian noise comes in shares here.
    #[error("joint mode uses Gaussian noise")]
    NotGaussian,
    /// A partial of another plan.
    #[error("the partial result belongs to another question")]
    ForeignPartial,
    /// Shares of different shapes, parties or numbers of holders.
    #[error("a share does not belong to this question or this party")]
    ForeignShare,
    /// The total lies outside what the holders' rows could give.
    #[error(
        "the total is out of range: at least one holder sent a false share; nothing is released"
    )]
    OutOfRange,
    /// Noise could not be drawn.
    #[error("no noise for the share")]
    Noise(#[from] NoiseError),
    /// No randomness for the masks.
    #[error("no randomness for the shares")]
    Entropy(#[from] EntropyFailed),
}

impl Classified for JointError {
    fn class(&self) -> Class {
        match self {
            Self::Holders | Self::Parties | Self::NotJoint | Self::NotGaussian => Class::BadRequest,
            Self::ForeignPartial => Class::Bug,
            Self::ForeignShare | Self::OutOfRange => Class::Peer,
            Self::Noise(e) => e.class(),
            Self::Entropy(_) => Class::Unavailable,
        }
    }
}

/// Who takes part in a joint answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32, u32, u64)", into = "(u32, u32, u32, u64)")]
pub struct JointRule {
    holders: u32,
    dishonest: u32,
    unit_holders: u32,
    most_rows: u64,
}

impl JointRule {
    /// `holders` holders, of which up to `dishonest` may withhold their noise, with at most
    /// `most_rows` rows in all, a public bound from the catalogue.
    ///
    /// # Privacy
    /// `unit_holders` is how many holders may have rows of the same unit: 1 for devices, more for
    /// patients who are known to several hospitals. Each holder bounds a unit's rows on its own, so
    /// that the noise grows with it.
    ///
    /// # Errors
    /// When there are fewer than two holders or nobody honest, or a unit is with none or more than
    /// all.
    pub fn new(
        holders: u32,
        dishonest: u32,
        unit_holders: u32,
        most_rows: u64,
    ) -> Result<Self, JointError> {
        let holds = (2..=100_000).contains(&holders) && (1..=holders).contains(&unit_holders);
        if !holds || dishonest >= holders || most_rows == 0 {
            return Err(JointError::Holders);
        }
        Ok(Self { holders, dishonest, unit_holders, most_rows })
    }

    /// Holders that are relied on for noise.
    #[must_use]
    pub const fn honest(self) -> u32 {
        self.holders - self.dishonest
    }

    /// The fewest holders whose shares are opened together: the honest ones, and never one alone,
    /// whose own number that would be.
    #[must_use]
    pub const fn fewest(self) -> u32 {
        if self.honest() < 2 { 2 } else { self.honest() }
    }
}

impl TryFrom<(u32, u32, u32, u64)> for JointRule {
    type Error = JointError;

    fn try_from(
        (holders, dishonest, unit_holders, most_rows): (u32, u32, u32, u64),
    ) -> Result<Self, JointError> {
        Self::new(holders, dishonest, unit_holders, most_rows)
    }
}

impl From<JointRule> for (u32, u32, u32, u64) {
    fn from(rule: JointRule) -> Self {
        (rule.holders, rule.dishonest, rule.unit_holders, rule.most_rows)
    }
}

/// One party's additive share of one holder's noisy numbers, or of the sum of several holders'.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    party: u8,
    holders: u32,
    values: Vec<u128>,
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share(party {}, {} numbers, redacted)", self.party, self.values.len())
    }
}

impl Share {
    /// Which party it is for, counted from 0.
    #[must_use]
    pub const fn party(&self) -> u8 {
        self.party
    }

    /// How many holders' shares are in it.
    #[must_use]
    pub const fn holders(&self) -> u32 {
        self.holders
    }

    /// The sum of holders' shares for one party, which the party works out.
    ///
    /// # Errors
    /// When shares are missing, of different lengths, or for different parties.
    pub fn sum(shares: impl IntoIterator<Item = Self>) -> Result<Self, JointError> {
        let mut shares = shares.into_iter();
        let first = shares.next().ok_or(JointError::ForeignShare)?;
        shares.try_fold(first, |mut sum, share| {
            if share.party != sum.party || share.values.len() != sum.values.len() {
                return Err(JointError::ForeignShare);
            }
            for (value, more) in sum.values.iter_mut().zip(share.values) {
                *value = value.wrapping_add(more);
            }
            sum.holders = sum.holders.saturating_add(share.holders);
            Ok(sum)
        })
    }
}

/// A plan whose noise comes in shares.
#[derive(Debug)]
pub struct JointPlan {
    shape: Arc<Shape>,
    rule: JointRule,
    noise: Vec<Noise>,
}

/// τ of the theorem: how far a sum of discrete Gaussians is from one discrete Gaussian.
fn tau(sigma: f64, summands: u32) -> f64 {
    let c = 2.0 * std::f64::consts::PI * std::f64::consts::PI * sigma * sigma;
    // The terms approach e^-c; beyond a few hundred they differ by less than the rounding up.
    let term = |k: u32| exp_up(-c * f64::from(k) / (f64::from(k) + 1.0) * (1.0 - 1e-12));
    let explicit = summands.saturating_sub(1).min(512);
    let near: f64 = (1..=explicit).map(term).sum();
    let far = f64::from(summands.saturating_sub(1) - explicit) * term(explicit.max(1));
    mul_up(10.0, (near + far) * (1.0 + 1e-9))
}

/// The zCDP loss of a block whose noise is the sum of `honest` discrete Gaussians.
fn joint_rho(block: &Block, sigma: f64, rule: JointRule) -> f64 {
    let honest = rule.honest();
    let tau = tau(sigma, honest);
    let dims = from_u128_up(block.len as u128);
    let l2 = mul_up(block.l2, f64::from(rule.unit_holders));
    let ratio = div_up(l2, sigma * sqrt_down(f64::from(honest)));
    let first = sqrt_up(add_up(mul_up(ratio, ratio), mul_up(tau, dims)));
    let second = add_up(ratio, mul_up(tau, sqrt_up(dims)));
    let epsilon = first.min(second);
    mul_up(epsilon, epsilon) / 2.0
}

fn share_of(block: &Block, rule: JointRule) -> Result<Noise, JointError> {
    let alone = mul_up(block.noise.scale.get(), f64::from(rule.unit_holders));
    let mut sigma = div_up(alone, sqrt_down(f64::from(rule.honest()))).max(0.5);
    loop {
        let scale = Scale::at_least(sigma)?;
        if joint_rho(block, scale.get(), rule) <= block.rho {
            return Ok(Noise { mechanism: Mechanism::Gaussian, scale });
        }
        sigma = scale.get() * (1.0 + 1e-4);
    }
}

impl JointPlan {
    /// Turns a plan into a joint one.
    ///
    /// # Errors
    /// When the question cannot be added up in shares, or the noise is not Gaussian.
    pub fn new(plan: Plan, rule: JointRule) -> Result<Self, JointError> {
        let partial = Partial::new(Arc::clone(&plan.shape));
        if !matches!(partial.into_exact(), Exact::Vector(_)) {
            return Err(JointError::NotJoint);
        }
        if plan.shape.blocks.iter().any(|b| b.noise.mechanism != Mechanism::Gaussian) {
            return Err(JointError::NotGaussian);
        }
        let noise = plan
            .shape
            .blocks
            .iter()
            .map(|block| share_of(block, rule))
            .collect::<Result<_, _>>()?;
        Ok(Self { shape: plan.shape, rule, noise })
    }

    /// What each holder's account is charged.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.shape.cost
    }

    /// An empty partial result of one holder.
    #[must_use]
    pub fn partial(&self) -> Partial {
        Partial::new(Arc::clone(&self.shape))
    }

    /// The joint error over that of one central dataset at the same charge and the same bound on a
    /// unit's rows in all: √(holders/honest), but for rounding.
    #[must_use]
    pub fn error_factor(&self) -> f64 {
        let factor = |(share, block): (&Noise, &Block)| {
            let alone = block.noise.scale.get() * f64::from(self.rule.unit_holders);
            share.scale.get() * f64::from(self.rule.holders).sqrt() / alone
        };
        self.noise.iter().zip(&self.shape.blocks).map(factor).fold(0.0, f64::max)
    }

    /// One holder's noisy numbers in shares, one for each of `parties` parties.
    ///
    /// # Privacy
    /// All shares but one are uniform and independent of the numbers. Uses the holder's plan up.
    ///
    /// # Errors
    /// When the partial is foreign, there are fewer than two parties, or randomness fails.
    pub fn contribute(
        self,
        partial: Partial,
        parties: u8,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<Share>, JointError> {
        if parties < 2 {
            return Err(JointError::Parties);
        }
        if !Arc::ptr_eq(&self.shape, &partial.shape) {
            return Err(JointError::ForeignPartial);
        }
        let Exact::Vector(exact) = partial.into_exact() else {
            return Err(JointError::NotJoint);
        };
        let sources: Vec<NoiseSource> = self.noise.iter().map(|noise| noise.source()).collect();
        let each = sources.iter().zip(&self.shape.blocks);
        let mut last = exact
            .into_iter()
            .zip(each.flat_map(|(noise, block)| std::iter::repeat_n(noise, block.len)))
            .map(|(value, noise)| Ok(value.wrapping_add(noise.draw()?).cast_unsigned()))
            .collect::<Result<Vec<u128>, NoiseError>>()?;
        let mut shares = Vec::with_capacity(parties.into());
        for party in 0..parties - 1 {
            let mut values = Vec::with_capacity(last.len());
            for rest in &mut last {
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes)?;
                let mask = u128::from_le_bytes(bytes);
                *rest = rest.wrapping_sub(mask);
                values.push(mask);
            }
            shares.push(Share { party, holders: 1, values });
        }
        shares.push(Share { party: parties - 1, holders: 1, values: last });
        Ok(shares)
    }

    /// The noisy total, from the sums of all parties over the same holders.
    ///
    /// # Privacy
    /// Up to `dishonest` holders may be missing from the sums: those that are in it bring noise
    /// enough, of which the answer tells as much as there is.
    ///
    /// # Errors
    /// When a party is missing, or more holders than the noise was sized for, or the total is out of
    /// the public range.
    pub fn open(&self, sums: &[Share]) -> Result<Noised, JointError> {
        let lengths = self.shape.blocks.iter().map(|b| b.len).sum::<usize>();
        let present = sums.first().map_or(0, |share| share.holders);
        if sums.len() < 2 {
            return Err(JointError::Parties);
        }
        if !(self.rule.fewest()..=self.rule.holders).contains(&present) {
            return Err(JointError::ForeignShare);
        }
        let mut total = vec![0u128; lengths];
        for (share, party) in sums.iter().zip(0u8..) {
            let complete = share.holders == present && share.party == party;
            if !complete || share.values.len() != lengths {
                return Err(JointError::ForeignShare);
            }
            for (sum, value) in total.iter_mut().zip(&share.values) {
                *sum = sum.wrapping_add(*value);
            }
        }
        let values: Vec<i128> = total.into_iter().map(u128::cast_signed).collect();
        self.check_range(&values)?;
        let each = |noise: &Noise| vec![*noise; present as usize];
        Ok(Noised {
            shape: Arc::clone(&self.shape),
            values: Values::Vector(values),
            noise: self.noise.iter().map(each).collect(),
            sources: present as usize,
        })
    }

    /// Refuses totals that no rows and hardly any noise could give.
    fn check_range(&self, values: &[i128]) -> Result<(), JointError> {
        let limits = self.shape.blocks.iter().zip(&self.noise).flat_map(|(block, noise)| {
            let most = block.most_per_row * self.rule.most_rows as f64;
            // Noise beyond 40 standard errors has a chance below 10⁻³⁰⁰.
            let noise = 40.0 * noise.scale.get() * f64::from(self.rule.holders).sqrt();
            let low = if block.negative { -most - noise } else { -noise };
            std::iter::repeat_n((low, most + noise), block.len)
        });
        let inside =
            |(value, (low, high)): (&i128, (f64, f64))| (low..=high).contains(&(*value as f64));
        values.iter().zip(limits).all(inside).then_some(()).ok_or(JointError::OutOfRange)
    }
}
