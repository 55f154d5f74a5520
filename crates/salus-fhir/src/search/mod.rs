//! Search: what a resource is found by, what a query asks for, and whether the two match.
//!
//! [`index`] extracts the values of every search parameter of a resource, which a store keeps;
//! [`SearchQuery::parse`] reads a query; [`SearchQuery::matches`] compares the two. The semantics
//! are in one place, so a store that narrows down by its own index asks `matches` in the end.
//!
//! # Source
//! HL7 FHIR R4 §3.1.1 (search) and the official search parameters. Composite and special
//! parameters, and `_filter`, are not served.

mod index;
mod matching;
mod query;

pub use index::{IndexValue, ResourceIndex, SharedValues, index, parameter_values};
pub use matching::{Alone, Others};
pub use query::{
    Criterion, Include, Modifier, Prefix, SearchError, SearchQuery, Sort, SortDirection, Wanted,
};

#[cfg(test)]
mod tests;
