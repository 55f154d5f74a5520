use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::references::{LinkKind, each_link};
use crate::definitions::definitions;
use crate::outcome::{Issue, IssueCode};
use crate::resource::{ResourceId, ResourceKey};
use crate::validate::{validate, validate_part};

/// Whether entries stand or fall together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BundleKind {
    /// All or nothing, with references between the entries.
    Transaction,
    /// Each entry for itself.
    Batch,
}

/// A search that the store answers before the plan is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// The resource type.
    pub resource_type: &'static str,
    /// The search parameters, as in a URL after `?`.
    pub query: String,
}

/// What a [`Lookup`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupAnswer {
    /// Nothing.
    None,
    /// One resource.
    One(ResourceId),
    /// More than one.
    Several,
    /// The search cannot be done; the text says why.
    Refused(String),
}

/// What an entry asks for, before conditions are looked up.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Create { resource: Json, if_none_exist: Option<usize> },
    Update { key: ResourceKey, resource: Json, if_match: Option<u64> },
    UpdateWhere { lookup: usize, resource: Json },
    Delete { key: ResourceKey, if_match: Option<u64> },
    DeleteWhere { lookup: usize, resource_type: &'static str },
    Read { key: ResourceKey },
    ReadVersion { key: ResourceKey, version: u64 },
    Search { resource_type: &'static str, query: String },
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) full_url: Option<String>,
    pub(super) ask: Result<Ask, Vec<Issue>>,
    /// Conditional references in the resource: text and lookup.
    pub(super) conditional: Vec<(String, usize)>,
}

/// A checked transaction or batch.
#[derive(Debug, Clone)]
pub struct BundleRequest {
    pub(super) kind: BundleKind,
    pub(super) entries: Vec<Entry>,
    pub(super) lookups: Vec<Lookup>,
}

impl BundleRequest {
    /// Checks a Bundle of type transaction or batch, and every resource in it.
    ///
    /// # Errors
    /// The issues of the Bundle itself; for a transaction those of all entries too, because one
    /// bad entry refuses the whole. A batch keeps the issues of an entry for its response.
    pub fn parse(bundle: Json) -> Result<Self, Vec<Issue>> {
        let request = |code, message: &str| vec![Issue::error(code, "Bundle", message)];
        let Json::Object(mut bundle) = bundle else {
            return Err(request(IssueCode::Structure, "a Bundle is a JSON object"));
        };
        if bundle.get("resourceType").and_then(Json::as_str) != Some("Bundle") {
            return Err(request(IssueCode::Structure, "resourceType must be Bundle"));
        }
        let kind = match bundle.get("type").and_then(Json::as_str) {
            Some("transaction") => BundleKind::Transaction,
            Some("batch") => BundleKind::Batch,
            _ => {
                let message = "it must be transaction or batch to be processed";
                return Err(vec![Issue::error(IssueCode::Value, "Bundle.type", message)]);
            }
        };
        let entries = match bundle.remove("entry") {
            None => Vec::new(),
            Some(Json::Array(entries)) => entries,
            Some(_) => {
                let message = "it repeats, so it is a JSON array";
                return Err(vec![Issue::error(IssueCode::Structure, "Bundle.entry", message)]);
            }
        };
        // A misspelt property must not pass for one that was left out.
        let issues = validate_part(&Json::Object(bundle), "Bundle", "Bundle");
        if !issues.is_empty() {
            return Err(issues);
        }
        let mut parsed = Self { kind, entries: Vec::new(), lookups: Vec::new() };
        for (at, entry) in entries.into_iter().enumerate() {
            let entry = parsed.entry(entry, &format!("Bundle.entry[{at}]"));
            parsed.entries.push(entry);
        }
        if kind == BundleKind::Transaction {
            let issues: Vec<_> = parsed
                .entries
                .iter()
                .filter_map(|entry| entry.ask.as_ref().err())
                .flatten()
                .cloned()
                .collect();
            if !issues.is_empty() {
                return Err(issues);
            }
        }
        Ok(parsed)
    }

    /// Transaction or batch.
    #[must_use]
    pub const fn kind(&self) -> BundleKind {
        self.kind
    }

    /// The searches to answer before [`BundleRequest::plan`], each one once.
    #[must_use]
    pub fn lookups(&self) -> &[Lookup] {
        &self.lookups
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The resource types that the entries write.
    #[must_use]
    pub fn written_types(&self) -> BTreeSet<&'static str> {
        let own = |resource: &Json| {
            let id = definitions().resource_named(resource.get("resourceType")?.as_str()?)?;
            Some(definitions().definition(id).name)
        };
        let asks = self.entries.iter().filter_map(|entry| entry.ask.as_ref().ok());
        let types = asks.filter_map(|ask| match ask {
            Ask::Create { resource, .. } | Ask::UpdateWhere { resource, .. } => own(resource),
            Ask::Update { key, .. } | Ask::Delete { key, .. } => Some(key.resource_type()),
            Ask::DeleteWhere { resource_type, .. } => Some(*resource_type),
            Ask::Read { .. } | Ask::ReadVersion { .. } | Ask::Search { .. } => None,
        });
        types.collect()
    }

    /// Whether an entry reads an earlier version.
    #[must_use]
    pub fn reads_versions(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.ask, Ok(Ask::ReadVersion { .. })))
    }

    fn lookup(&mut self, resource_type: &'static str, query: &str) -> usize {
        let lookup = Lookup { resource_type, query: query.to_owned() };
        match self.lookups.iter().position(|known| *known == lookup) {
            Some(at) => at,
            None => {
                self.lookups.push(lookup);
                self.lookups.len() - 1
            }
        }
    }

    fn entry(&mut self, entry: Json, place: &str) -> Entry {
        let mut entry = entry;
        let mut resource = entry.as_object_mut().and_then(|entry| entry.remove("resource"));
        let issues = validate_part(&entry, "Bundle.entry", place);
        let (Json::Object(entry), true) = (entry, issues.is_empty()) else {
            return Entry { full_url: None, ask: Err(issues), conditional: Vec::new() };
        };
        let full_url = entry.get("fullUrl").and_then(Json::as_str).map(str::to_owned);
        let conditional = resource.as_mut().map(|r| self.conditional(r)).unwrap_or_default();
        let ask = self.ask(&entry, resource, place);
        Entry { full_url, ask, conditional }
    }

    /// The references of the form `Patient?identifier=1`.
    fn conditional(&mut self, resource: &mut Json) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        each_link(resource, &mut |_, kind, text| {
            if kind == LinkKind::Reference
                && let Some((name, query)) = text.split_once('?')
                && let Some(id) = definitions().resource_named(name)
            {
                found.push((text.clone(), definitions().definition(id).name, query.to_owned()));
            }
        });
        found.into_iter().map(|(text, name, query)| (text, self.lookup(name, &query))).collect()
    }

    fn ask(
        &mut self,
        entry: &Map<String, Json>,
        resource: Option<Json>,
        place: &str,
    ) -> Result<Ask, Vec<Issue>> {
        let one = |code, at: &str, message: &str| {
            vec![Issue::error(code, format!("{place}.{at}"), message)]
        };
        let Some(request) = entry.get("request").and_then(Json::as_object) else {
            return Err(one(IssueCode::Required, "request", "request is missing"));
        };
        let text = |name: &str| request.get(name).and_then(Json::as_str);
        let Some(target) = text("url").and_then(Target::parse) else {
            let message = "it must be Type, Type/id, Type/id/_history/version or Type?query";
            return Err(one(IssueCode::Value, "request.url", message));
        };
        let if_match = match text("ifMatch") {
            None => None,
            Some(etag) => match parse_etag(etag) {
                Some(version) => Some(version),
                None => {
                    let message = "it must be of the form W/\"1\"";
                    return Err(one(IssueCode::Value, "request.ifMatch", message));
                }
            },
        };
        let resource = || checked(resource, &target, place);
        let method = text("method").unwrap_or_default();
        let resource_type = target.resource_type;
        match (method, target.rest.clone()) {
            ("POST", Rest::Type) => {
                let resource = resource()?;
                let if_none_exist = text("ifNoneExist")
                    .map(|query| self.lookup(resource_type, query.trim_start_matches('?')));
                Ok(Ask::Create { resource, if_none_exist })
            }
            ("PUT", Rest::Instance(key)) => {
                let resource = resource()?;
                if resource.get("id").and_then(Json::as_str) != Some(key.id().as_str()) {
                    let message = "it must be the id in request.url";
                    return Err(one(IssueCode::Value, "resource.id", message));
                }
                Ok(Ask::Update { key, resource, if_match })
            }
            ("PUT", Rest::Query(query)) => {
                let resource = resource()?;
                let lookup = self.lookup(resource_type, &query);
                Ok(Ask::UpdateWhere { lookup, resource })
            }
            ("DELETE", Rest::Instance(key)) => Ok(Ask::Delete { key, if_match }),
            ("DELETE", Rest::Query(query)) => {
                let lookup = self.lookup(resource_type, &query);
                Ok(Ask::DeleteWhere { lookup, resource_type })
            }
            ("GET" | "HEAD", Rest::Instance(key)) => Ok(Ask::Read { key }),
            ("GET" | "HEAD", Rest::Version(key, version)) => Ok(Ask::ReadVersion { key, version }),
            ("GET" | "HEAD", Rest::Type) => Ok(Ask::Search { resource_type, query: String::new() }),
            ("GET" | "HEAD", Rest::Query(query)) => Ok(Ask::Search { resource_type, query }),
            ("PATCH", _) => {
                let message = "PATCH is not supported in a Bundle; use PUT";
                Err(one(IssueCode::NotSupported, "request.method", message))
            }
            ("POST" | "PUT" | "DELETE", _) => {
                let message = "it does not fit the method: POST takes Type, PUT and DELETE take \
                               Type/id or Type?query";
                Err(one(IssueCode::Value, "request.url", message))
            }
            _ => {
                let message = "it must be one of GET, HEAD, POST, PUT, PATCH, DELETE";
                Err(one(IssueCode::Value, "request.method", message))
            }
        }
    }
}

/// The resource of an entry, validated and of the type that the URL names.
fn checked(resource: Option<Json>, target: &Target, place: &str) -> Result<Json, Vec<Issue>> {
    let place = format!("{place}.resource");
    let Some(resource) = resource else {
        return Err(vec![Issue::error(IssueCode::Required, place, "resource is missing")]);
    };
    let mut issues = validate(&resource);
    for issue in &mut issues {
        // `Patient.name[0]` becomes `Bundle.entry[3].resource.name[0]`.
        let inner = issue.expression.take().unwrap_or_default();
        let below = inner.split_once('.').map_or(String::new(), |(_, rest)| format!(".{rest}"));
        issue.expression = Some(format!("{place}{below}"));
    }
    if resource.get("resourceType").and_then(Json::as_str) != Some(target.resource_type) {
        let message = "its resourceType must be the type in request.url";
        issues.push(Issue::error(IssueCode::Value, place, message));
    }
    if issues.is_empty() { Ok(resource) } else { Err(issues) }
}

/// A parsed `request.url`.
struct Target {
    resource_type: &'static str,
    rest: Rest,
}

#[derive(Clone)]
enum Rest {
    Type,
    Instance(ResourceKey),
    Version(ResourceKey, u64),
    Query(String),
}

impl Target {
    fn parse(url: &str) -> Option<Self> {
        let url = url.trim_start_matches('/');
        let (path, query) = url.split_once('?').map_or((url, None), |(p, q)| (p, Some(q)));
        let mut parts = path.split('/');
        let type_id = definitions().resource_named(parts.next()?)?;
        let resource_type = definitions().definition(type_id).name;
        let key = |id: &str| ResourceKey::new(resource_type, ResourceId::new(id).ok()?);
        let rest = match (parts.next(), parts.next(), parts.next(), parts.next(), query) {
            (None, None, None, None, None) => Rest::Type,
            (None, None, None, None, Some(query)) => Rest::Query(query.to_owned()),
            (Some(id), None, None, None, None) => Rest::Instance(key(id)?),
            (Some(id), Some("_history"), Some(version), None, None) => {
                Rest::Version(key(id)?, version.parse().ok()?)
            }
            _ => return None,
        };
        Some(Self { resource_type, rest })
    }
}

/// `W/"3"` is version 3.
fn parse_etag(text: &str) -> Option<u64> {
    text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}
