//! SQL-on-FHIR v2: ViewDefinitions that turn resources into flat, typed rows.
//!
//! A view is parsed and compiled once ([`View::parse`]) and then run on one resource at a time
//! ([`View::run`]); no state is kept between resources.
//!
//! # Source
//! HL7 SQL on FHIR v2, "ViewDefinition" and "Processing algorithm".

mod definition;
mod infer;
mod run;
mod value;

pub use definition::{View, ViewError};
pub use run::RowError;
pub use value::{Column, ColumnType, Value};

#[cfg(test)]
mod tests;
