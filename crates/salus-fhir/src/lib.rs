//! FHIR R4 as pure functions: FHIRPath, flat views, validation, Bundles and search.
//!
//! Everything is judged against the official definitions, which are embedded as one table
//! ([`definitions`]). Resources are `serde_json::Value`s with exact numbers
//! (`arbitrary_precision`).
//!
//! - [`fhirpath`]: expressions, parsed once and evaluated on many resources.
//! - [`view`]: SQL-on-FHIR v2 ViewDefinitions; [`shipped`]: the views that come with Salus.
//! - [`rows`]: rows of flat tables as resources, the shipped views turned round.
//! - [`parse_json`] and [`validate`]: bytes to a resource that conforms to R4, or issues that name
//!   the element; [`operation_outcome`] tells them to a client.
//! - [`search`]: what resources are found by, queries, and whether they match.
//! - [`capability_statement`]: what a server says about itself, from the same tables.
//! - [`apply_json_patch`]: RFC 6902 on a resource.
//! - [`subscription`]: what an R4 Subscription asks for.
//! - [`bundle`]: transactions and batches as a plan for a store.
//!
//! **Invariant:** no file, socket, thread, clock or randomness; bytes, values and the present
//! moment are arguments, and what must be stored or fetched is returned as a plan.
//!
//! **Invariant:** no message of an error carries a value or an id of a resource, only names of
//! elements, types and parameters, and what the caller's own query or view said.

pub mod bundle;
mod capability;
mod definitions;
pub mod fhirpath;
mod json;
mod outcome;
mod patch;
mod primitive;
mod resource;
pub mod rows;
pub mod search;
pub mod shipped;
pub mod subscription;
mod temporal;
mod validate;
pub mod view;

pub use capability::{Interaction, ServerIdentity, capability_statement};
pub use definitions::{
    Definitions, Element, ElementType, Primitive, SearchParameter, SearchType, TypeDefinition,
    TypeId, TypeKind, definitions,
};
pub use json::{JsonError, JsonLimits, parse_json};
pub use outcome::{Issue, IssueCode, Severity, operation_outcome};
pub use patch::{PatchRefused, apply_json_patch};
pub use resource::{ResourceId, ResourceIdError, ResourceKey, stamp};
pub use temporal::{Precision, Temporal, TimeOfDay};
pub use validate::validate;
