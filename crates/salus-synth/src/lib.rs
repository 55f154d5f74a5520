//! Synthetic tables with differential privacy, from noisy marginals and a graphical model.
//!
//! ```text
//! Attributes (public) + rows ──TableBuilder──▶ Table      codes; rows bounded per unit
//! Table + Method + ρ ──fit──▶ Model                       every look at the rows is paid here
//! Model ──independent──▶ Model                            a fair outcome; costs nothing
//! Model + seed ──sample──▶ Sample ──decode──▶ rows        costs nothing, as often as wanted
//! ```
//!
//! **Invariant:** rows are looked at through `salus_dp`'s exact noise and exact selection only. A
//! seed drives sampling from a fitted [`Model`] and nothing else.
//!
//! **Invariant:** attributes, their values and bounds are public: they come from the caller, or from
//! [`discover`], which finds them privately and says what that costs.
//!
//! # Privacy
//! A [`Model`] and everything sampled from it is [`Model::cost`]-zCDP for a unit with all of its
//! rows, at most as many as the table was built for.

mod aim;
mod attribute;
mod compression;
mod constraint;
mod copula;
mod discover;
mod estimate;
mod fair;
mod federated;
mod fit;
mod junction;
mod likelihood;
mod linked;
mod logistic;
mod marginal;
mod model;
mod mst;
mod privbayes;
pub mod quality;
mod random;
mod sample;
mod sequence;
mod spelling;
mod table;

pub use attribute::{Attribute, AttributeError, Kind, Missing};
pub use constraint::Constraint;
pub use discover::{DiscoverError, Discovery, Reading, discover, discover_bounds, noisy_rows};
pub use fair::FairError;
pub use federated::{Ask, Federation, FederationError, Next, Reply};
pub use fit::{FitError, Method, fit, refit};
pub use linked::{Link, LinkedError, LinkedModel, LinkedSample, Row, Terms, fit_linked};
pub use model::{Condition, Model, SampleError, check_wanted, satisfies};
pub use sample::Sample;
pub use sequence::{SequenceError, SequenceModel, Shape};
pub use spelling::{Mark, Spelling, discover_spelling};
pub use table::{Table, TableBuilder, TableError};
