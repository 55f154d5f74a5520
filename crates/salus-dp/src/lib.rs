//! Differential privacy for counts, sums, moments, quantiles and groups, and the account it is
//! charged to.
//!
//! One question runs through four values, and none can be skipped:
//!
//! ```text
//! Query + Schema + Spend ──plan──▶ Plan          no data; cost and expected error (--explain)
//! Plan::partial ──observe, merge──▶ Partial       exact, clipped, contribution-bounded; never shown
//! Plan::execute(Partial) ──────────▶ Noised       exact integers plus exact discrete noise; public
//! Noised::answer ──────────────────▶ Answer       estimates, 95 % intervals, bias, noise, cost
//! ```
//!
//! [`Noised`] values of several holders add up ([`Noised::combine`], the independent mode), and a
//! [`Partial`] can leave a holder as secret shares with a share of the noise ([`joint`]).
//! [`Account`] says what may still be spent, [`standing`] follows a count over time for one charge,
//! [`consistency`] makes noisy tables non-negative, and [`audit`] measures the loss of a mechanism
//! from its outputs.
//!
//! **Invariant:** the privacy noise comes from OpenSSL's private generator through `opendp`'s exact
//! samplers. Nothing in this crate seeds it or can replace it; a seed appears only where released
//! numbers are post-processed by simulation.
//!
//! **Invariant:** whatever is summed is an integer, clamped to the schema's bounds and counted
//! against the privacy unit's contribution bound; no floating-point number meets the noise.
//!
//! **Invariant:** every conversion between ρ, ε, δ and a noise scale is rounded towards the larger
//! loss and the larger noise.
//!
//! # Privacy
//! Neighbouring datasets differ by all rows of one [`PrivacyUnit`], added or removed. Not
//! protected: the query itself, the schema, the privacy parameters, the time that an answer took,
//! and facts about a unit that other units' rows imply.

mod account;
mod answer;
pub mod audit;
mod batch;
pub mod consistency;
mod cost;
pub mod joint;
mod loss;
mod marginal;
mod noise;
mod noised;
mod outward;
mod partial;
mod plan;
mod query;
mod schema;
mod selection;
mod simulate;
pub mod standing;
mod tree;
mod unit;

pub use account::{Account, AccountError, AccountPolicy, NotBoundedPolicy, Reservation};
pub use answer::{Answer, AnswerRow, Bias, Estimate, IntervalMethod};
pub use batch::{OUTSIDE, Units};
pub use cost::{Charge, Cost, parallel, sequential};
pub use loss::{
    Delta, Epsilon, LossError, epsilon_from_rho, pure_epsilon_from_rho, rho_from_epsilon,
    rho_from_pure_epsilon,
};
pub use marginal::{MarginalError, NoisyCounts, measure_counts};
pub use noise::{Mechanism, Noise, NoiseError, Scale};
pub use noised::{CombineError, Noised, NoisedParts};
pub use partial::{Field, ObserveError, Partial};
pub use plan::{ExpectedError, Plan, PlanError, Spend, plan};
pub use query::{Query, Rank, RankError};
pub use schema::{Bounds, Column, Domain, Edges, Schema, SchemaError};
pub use selection::{SelectionError, select};
pub use unit::{ContributionBound, PrivacyUnit, RowsPerUnit, UnitError, UnitKey};
