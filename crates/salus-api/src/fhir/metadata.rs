use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::{Interaction, ServerIdentity, capability_statement};

use super::outcome::FhirError;
use super::{Fhir, headers};

/// What is offered on every resource type.
const INTERACTIONS: [Interaction; 9] = [
    Interaction::Read,
    Interaction::VersionRead,
    Interaction::Update,
    Interaction::Patch,
    Interaction::Delete,
    Interaction::InstanceHistory,
    Interaction::TypeHistory,
    Interaction::Create,
    Interaction::Search,
];

/// `GET metadata`: what this server offers, to anybody.
pub(super) async fn statement(
    State(fhir): State<Fhir>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, query.as_deref().unwrap_or_default())?;
    let mut statement = capability_statement(ServerIdentity {
        base_url: &fhir.base_url,
        version: env!("CARGO_PKG_VERSION"),
        date: fhir.clock.now(),
        interactions: &INTERACTIONS,
    });
    super::validation::advertise(&mut statement);
    super::bulk::advertise(&mut statement);
    super::subscription::advertise(&mut statement, fhir.subscriptions.as_ref());
    Ok(headers::json(StatusCode::OK, statement.to_string()))
}
