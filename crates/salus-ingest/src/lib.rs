//! Brings data into the lake: tables from files, resources from FHIR.
//!
//! **Invariant:** a record is either accepted whole or quarantined with its line, its field and
//! the reason; none is dropped, and none is changed to make it fit.
//!
//! **Invariant:** no reason, log line or error holds a value from a record.

pub mod fhir;
pub mod tabular;
