//! The FHIR interface over real HTTP.

mod errors;
mod interactions;
mod rules;
mod statement;
mod subscriptions;
mod world;
