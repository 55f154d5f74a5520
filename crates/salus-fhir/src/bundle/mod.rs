//! Transaction and batch Bundles as a plan that a store carries out.
//!
//! 1. [`BundleRequest::parse`] checks the Bundle and every resource in it.
//! 2. [`BundleRequest::lookups`] are the searches that conditional entries and references need;
//!    the store answers each of them.
//! 3. [`BundleRequest::plan`] assigns ids, rewrites references and orders the steps.
//! 4. The store carries out the steps, a transaction's in one atomic unit, and
//!    [`BundlePlan::response`] makes the Bundle that goes back.
//!
//! # Source
//! HL7 FHIR R4 §3.1.0.11 (batch and transaction).

mod plan;
mod references;
mod request;
mod response;

pub use plan::{BundlePlan, Operation, PlanError, Step};
pub use request::{BundleKind, BundleRequest, Lookup, LookupAnswer};
pub use response::{Status, StepOutcome};

#[cfg(test)]
mod tests;
