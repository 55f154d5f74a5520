//! De-identification of tables: anonymise, measure the risk, attack, mend bias, review output.

pub mod attack;
pub mod hierarchy;
pub mod loss;
pub mod model;
pub mod quasi;
pub mod risk;
pub mod safepub;
pub mod search;
pub mod sets;
pub mod table;

mod dice;
mod engine;
mod grouping;
mod problem;
#[cfg(test)]
mod test_entropy;

pub use hierarchy::{Hierarchy, HierarchyError};
pub use loss::{Aggregate, Loss};
pub use model::{GroundDistance, Likeness, ModelError, PrivacyModel};
pub use problem::{Problem, ProblemError, SuppressionLimit};
pub use quasi::{Lattice, Levels, QuasiIdentifier, QuasiIdentifiers};
pub use search::{Optimality, Outcome, SearchError};
pub use table::{Column, CsvFormat, Header, Table, TableError, Whitespace};
