//! The query gateway: SQL by a holder's own staff over the lake, column by column as roles allow.
//!
//! ```text
//! token ──Authenticator──▶ StaffIdentity ──role──▶ plan ──Cedar──▶ CareGrant ──spine──▶ KeyRelease
//! Lake::open ──▶ ReadSession::compute { engine } ──▶ seal ──▶ AuditSink ──▶ release ──▶ Answer
//! ```
//!
//! **Invariant:** this is the only crate that knows DataFusion.
//!
//! **Invariant:** it opens no file and no object store. Rows come from
//! [`salus_store::Lake::open`] and nowhere else, and a statement cannot name anything else.
//!
//! **Invariant:** nothing outlives a statement: each has its own runtime, its own memory pool and
//! its own catalogue, so there is no cache from which one person could learn what another read.
//!
//! **Invariant:** no answer leaves before its audit record is durable.
//!
//! # Privacy
//! A statement is planned against the schema first, and every column that it names anywhere
//! (filters, joins, grouping, ordering, subqueries, function arguments) is decided on by Cedar
//! before any key is asked for. Only the columns named go into the signed grant; should the
//! analysis ever overlook one, the store does not have its key and the statement fails. Row
//! restrictions are applied by the store before the engine sees a row. Error messages carry no
//! value of any row.
//!
//! Answers are materialised inside the limits of memory and rows, recorded with their row count,
//! and then handed out: nothing is streamed before it is on record.

pub mod answer;
mod audit;
mod catalog;
mod columns;
mod engine;
mod error;
pub mod flight;
mod gateway;
mod identity;
pub mod pg;
mod policy;
mod statement;

pub use answer::Answer;
pub use audit::{AccessEvent, AuditFailed, AuditSink, Outcome};
pub use engine::Limits;
pub use error::{Place, QueryError};
pub use gateway::{
    Acting, Counted, Description, Disclosure, DisclosureError, Gateway, GatewayParts, Parameter,
    Request, VisibleColumn, VisibleDataset,
};
pub use identity::{AccessToken, AuthenticationFailed, Authenticator, StaffIdentity};
pub use policy::{Roles, RolesError};

/// For [`Disclosure::kind`].
pub use salus_store::audit::AccessKind;
