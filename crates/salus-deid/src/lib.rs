//! De-identification of tables: anonymise, measure the risk, attack, mend bias, review output.

pub mod hierarchy;
pub mod loss;
pub mod model;
pub mod quasi;
pub mod risk;
pub mod search;
pub mod table;

mod engine;
mod grouping;
mod problem;

pub use hierarchy::{Hierarchy, HierarchyError};
pub use loss::{Aggregate, Loss};
pub use model::{GroundDistance, Likeness, ModelError, PrivacyModel};
pub use problem::{Problem, ProblemError, SuppressionLimit};
pub use quasi::{Lattice, Levels, QuasiIdentifier, QuasiIdentifiers};
pub use search::{Optimality, Outcome, SearchError};
pub use table::{Column, CsvFormat, Header, Table, TableError, Whitespace};
