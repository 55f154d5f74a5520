use salus_model::Timestamp;
use serde_json::{Value as Json, json};

use crate::definitions::{SearchType, definitions};

/// What a server says about itself besides what the definitions tell.
#[derive(Debug, Clone, Copy)]
pub struct ServerIdentity<'s> {
    /// The base URL of the FHIR endpoint.
    pub base_url: &'s str,
    /// The software's version.
    pub version: &'s str,
    /// When the statement was made.
    pub date: Timestamp,
    /// What it offers on every resource type.
    pub interactions: &'s [Interaction],
}

/// What a server offers on each resource type.
///
/// # Source
/// HL7 FHIR R4 value set `type-restful-interaction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Interaction {
    Read,
    VersionRead,
    Update,
    Patch,
    Delete,
    InstanceHistory,
    TypeHistory,
    Create,
    Search,
}

impl Interaction {
    /// The code in the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::VersionRead => "vread",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::InstanceHistory => "history-instance",
            Self::TypeHistory => "history-type",
            Self::Create => "create",
            Self::Search => "search-type",
        }
    }
}

/// The CapabilityStatement of a server that serves every R4 resource type; its search
/// parameters are exactly those that [`crate::search`] answers.
#[must_use]
pub fn capability_statement(server: ServerIdentity<'_>) -> Json {
    let resources: Vec<_> =
        definitions().resource_types().map(|name| resource(name, server.interactions)).collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": server.date.to_string(),
        "kind": "instance",
        "software": {"name": "Salus", "version": server.version},
        "implementation": {"description": "Salus FHIR endpoint", "url": server.base_url},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "patchFormat": ["application/json-patch+json"],
        "rest": [{
            "mode": "server",
            "resource": resources,
            "interaction": [
                {"code": "transaction"},
                {"code": "batch"},
                {"code": "history-system"},
            ],
        }],
    })
}

fn resource(name: &'static str, interactions: &[Interaction]) -> Json {
    let mut parameters = Vec::new();
    let mut includes = Vec::new();
    for parameter in definitions().search_parameters(name) {
        parameters.push(json!({"name": parameter.code, "type": parameter.kind.as_str()}));
        if parameter.kind == SearchType::Reference {
            includes.push(json!(format!("{name}:{}", parameter.code)));
        }
    }
    let interactions: Vec<_> = interactions.iter().map(|i| json!({"code": i.as_str()})).collect();
    let mut resource = json!({
        "type": name,
        "interaction": interactions,
        "versioning": "versioned-update",
        "readHistory": true,
        "updateCreate": true,
        "conditionalCreate": true,
        "conditionalUpdate": true,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "logical", "local"],
        "searchParam": parameters,
    });
    if let (false, Some(object)) = (includes.is_empty(), resource.as_object_mut()) {
        object.insert("searchInclude".to_owned(), Json::Array(includes));
    }
    resource
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::search::SearchQuery;

    #[test]
    fn the_statement_conforms_and_every_advertised_parameter_is_answered() {
        let date: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let statement = capability_statement(ServerIdentity {
            base_url: "https://h.example/fhir",
            version: "0.1.0",
            date,
            interactions: &[Interaction::Read, Interaction::Create, Interaction::Search],
        });
        assert!(crate::validate(&statement).is_empty(), "{:?}", crate::validate(&statement));
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        assert_eq!(resources.len(), definitions().resource_types().count());
        let mut count = 0;
        for resource in resources {
            let name = resource["type"].as_str().unwrap();
            for parameter in resource["searchParam"].as_array().unwrap() {
                let query = format!("{}:missing=true", parameter["name"].as_str().unwrap());
                SearchQuery::parse(name, &query, date).unwrap();
                count += 1;
            }
        }
        assert!(count > 1000, "only {count}");
    }
}
