use std::collections::BTreeSet;

use axum::http::HeaderMap;
use salus_fhir::IssueCode;
use salus_model::Timestamp;

use super::super::outcome::FhirError;
use super::super::{headers, resource_type};

/// What an export is asked to have in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExportRequest {
    pub(super) types: Option<BTreeSet<&'static str>>,
    pub(super) since: Option<Timestamp>,
}

impl ExportRequest {
    /// The parameters of a kick-off; what is not known is refused, unless the caller is lenient:
    /// an export that silently has more or less than asked for is of no use.
    pub(super) fn parse(query: &str, asked: &HeaderMap) -> Result<Self, FhirError> {
        if !headers::prefers(asked, "respond-async") {
            let message = "an export is made in the background: send Prefer: respond-async";
            return Err(FhirError::bad_request(IssueCode::NotSupported, message));
        }
        let mut request = Self { types: None, since: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "_outputFormat" => output_format(&value)?,
                "_since" => request.since = Some(since(&value)?),
                "_type" => {
                    let types = request.types.get_or_insert_default();
                    for name in value.split(',').filter(|name| !name.is_empty()) {
                        types.insert(resource_type(name).map_err(|e| FhirError {
                            status: axum::http::StatusCode::BAD_REQUEST,
                            ..e
                        })?);
                    }
                }
                _ if headers::prefers(asked, "handling=lenient") => {}
                other => {
                    let shown: String =
                        other.chars().take(64).filter(|c| !c.is_control()).collect();
                    let message = format!(
                        "'{shown}' is not supported; _type, _since and _outputFormat are. To have \
                         it passed over, send Prefer: handling=lenient"
                    );
                    return Err(FhirError::bad_request(IssueCode::NotSupported, message));
                }
            }
        }
        Ok(request)
    }
}

fn output_format(value: &str) -> Result<(), FhirError> {
    // A plus sign that was not escaped arrives as a blank.
    match value.replace(' ', "+").as_str() {
        "application/fhir+ndjson" | "application/ndjson" | "ndjson" => Ok(()),
        _ => {
            let message = "files are application/fhir+ndjson; no other _outputFormat is supported";
            Err(FhirError::bad_request(IssueCode::NotSupported, message))
        }
    }
}

fn since(value: &str) -> Result<Timestamp, FhirError> {
    value.replace(' ', "+").parse().map_err(|_| {
        let message = "_since is an instant such as 2026-01-31T12:00:00Z";
        FhirError::bad_request(IssueCode::Value, message)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::HeaderValue;

    use super::*;

    fn prefer(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::HeaderName::from_static("prefer"),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn known_parameters_are_read_and_others_refused() {
        let asked = prefer("respond-async");
        let query = "_type=Patient,Observation&_since=2026-01-01T00:00:00%2B01:00\
                     &_outputFormat=application/fhir+ndjson&_type=Device";
        let request = ExportRequest::parse(query, &asked).unwrap();
        let types: Vec<_> = request.types.unwrap().into_iter().collect();
        assert_eq!(types, ["Device", "Observation", "Patient"]);
        assert_eq!(request.since.unwrap().to_string(), "2025-12-31T23:00:00.000000Z");
        for refused in
            ["_type=Spaceship", "_since=now", "_outputFormat=text/csv", "_elements=id", "x=1"]
        {
            let error = ExportRequest::parse(refused, &asked).unwrap_err();
            assert_eq!(error.status, 400, "{refused}");
        }
        let lenient = prefer("respond-async, handling=lenient");
        assert!(ExportRequest::parse("_elements=id", &lenient).is_ok());
        assert!(ExportRequest::parse("", &HeaderMap::new()).is_err());
    }
}
