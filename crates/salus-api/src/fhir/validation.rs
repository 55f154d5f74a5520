use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::{Issue, IssueCode, JsonLimits, operation_outcome, parse_json, validate};
use serde_json::{Value as Json, json};

use super::outcome::FhirError;
use super::{Fhir, headers, resource_type};

/// The resource that is to be looked at: the body, or the parameter `resource` in it.
fn subject(body: Json) -> Result<Json, FhirError> {
    if body.get("resourceType").and_then(Json::as_str) != Some("Parameters") {
        return Ok(body);
    }
    let parameters = body.get("parameter").and_then(Json::as_array);
    let named =
        |parameter: &&Json| parameter.get("name").and_then(Json::as_str) == Some("resource");
    let resource = parameters.into_iter().flatten().find(named).and_then(|p| p.get("resource"));
    resource.cloned().ok_or_else(|| {
        let message = "send a resource, or Parameters with one named 'resource'";
        FhirError::bad_request(IssueCode::Required, message)
    })
}

/// Every resource type is validated.
pub(super) fn advertise(statement: &mut Json) {
    let resources = statement.pointer_mut("/rest/0/resource").and_then(Json::as_array_mut);
    for resource in resources.into_iter().flatten().filter_map(Json::as_object_mut) {
        let definition = "http://hl7.org/fhir/OperationDefinition/Resource-validate";
        let operation = json!([{"name": "validate", "definition": definition}]);
        resource.insert("operation".to_owned(), operation);
    }
}

/// `POST Type/$validate`: what would be wrong with a resource; nothing is stored.
///
/// By the base definitions of R4; profiles and terminologies are not looked at.
pub(super) async fn of_type(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, "")?;
    let token = headers::token(&headers)?;
    let name = resource_type(&name)?;
    headers::json_body(&headers)?;
    let role = headers::role(&headers)?;
    fhir.gateway.acting(&token, role.as_ref()).await?;
    let resource = subject(parse_json(&body?, JsonLimits::RESOURCE)?)?;
    let mut issues = validate(&resource);
    if resource.get("resourceType").and_then(Json::as_str) != Some(name) {
        let message = format!("its resourceType is not {name}, the type in the URL");
        issues.push(Issue::error(IssueCode::Value, "resourceType", message));
    }
    // What was found is the answer; that something was found is no error of the request.
    Ok(headers::json(StatusCode::OK, operation_outcome(&issues).to_string()))
}
