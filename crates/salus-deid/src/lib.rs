//! De-identification of tables: measure the risk, anonymise, attack the result, mend bias, review
//! output.
//!
//! **Invariant:** this crate knows no file, socket, thread, wall clock or global randomness. Bytes,
//! readers, clocks and [`salus_model::Entropy`] are arguments; values come out.
//!
//! **Invariant:** no error, `Debug` text or report holds a value of a record. Errors name lines,
//! records and columns.
//!
//! # The way through
//!
//! ```
//! use salus_deid::transform::UnknownValue;
//! use salus_deid::{
//!     CsvFormat, Hierarchy, Loss, PrivacyModel, Problem, QuasiIdentifier, QuasiIdentifiers,
//!     SuppressionLimit, Table,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let csv = CsvFormat::with_delimiter(b',');
//! let table = Table::read_csv("age,sex\n31,f\n34,f\n38,f\n52,m\n".as_bytes(), csv)?;
//! let ages = "31,30s,*\n34,30s,*\n38,30s,*\n52,50s,*\n";
//! let quasi = QuasiIdentifiers::new(vec![
//!     QuasiIdentifier {
//!         column: "age".into(),
//!         hierarchy: Hierarchy::read_csv(ages.as_bytes(), csv.without_header())?,
//!     },
//!     QuasiIdentifier { column: "sex".into(), hierarchy: Hierarchy::suppression(&["f", "m"])? },
//! ])?;
//! let problem = Problem::new(
//!     &table,
//!     &quasi,
//!     &[PrivacyModel::k_anonymity(3)?],
//!     SuppressionLimit::new(0.25)?,
//!     Loss::REFERENCE,
//!     None,
//! )?;
//! let best = problem.optimum()?;
//! assert_eq!(best.levels.as_slice(), [1, 0]);
//! assert_eq!(best.suppressed, [3]);
//! let scheme = best.scheme(&quasi, UnknownValue::Refuse)?;
//! let release = scheme.apply(&table, &best.suppressed, &[])?;
//! assert_eq!(release.column("age")?.value(0), Some("30s"));
//! # Ok(())
//! # }
//! ```
//!
//! | Step | Where |
//! | --- | --- |
//! | read a table, build hierarchies | [`table`], [`hierarchy`] |
//! | how re-identifiable is it, and by what | [`risk`] |
//! | say what must hold | [`model`]: combined by all holding |
//! | find the least lossy generalisation | [`Problem::optimum`], [`Problem::anytime`] |
//! | or recode locally, or privately | [`Problem::recode_locally`], [`Problem::mondrian`], [`safepub`], [`sets`] |
//! | apply it, also to streams and new data | [`transform`] |
//! | attack the release and score it | [`attack`] |
//! | what it is still good for | [`utility`] |
//! | bias, measured and mended | [`unbias`] |
//! | tables and sums that want out | [`review`] |
//! | FHIR resources by profile, clinical text | [`fhir`], [`text`] |
//!
//! # Privacy
//! Syntactic models bound what one release says to an attacker who knows the quasi-identifiers and
//! nothing else; they do not compose. A release made by anything here but [`safepub`] has no ε: it
//! is booked on the dataset's account as not bounded and must pass the attacks. What a search
//! returns (levels, suppressed rows, losses) is computed from the data and is not private either.

pub mod attack;
pub mod fhir;
pub mod hierarchy;
pub mod loss;
pub mod model;
pub mod quasi;
pub mod review;
pub mod risk;
pub mod safepub;
pub mod search;
pub mod sets;
pub mod table;
pub mod text;
pub mod transform;
pub mod unbias;
pub mod utility;

mod dice;
mod engine;
mod grouping;
mod number;
mod problem;
#[cfg(test)]
mod test_entropy;

pub use hierarchy::{Hierarchy, HierarchyError};
pub use loss::{Aggregate, Loss};
pub use model::{GroundDistance, Likeness, ModelError, PrivacyModel};
pub use number::is_missing;
pub use problem::{Problem, ProblemError, SuppressionLimit};
pub use quasi::{Lattice, Levels, QuasiIdentifier, QuasiIdentifiers};
pub use search::{Optimality, Outcome, SearchError};
pub use table::{
    Column, CsvFormat, Header, LongField, QuotedFields, Table, TableError, Whitespace,
};
